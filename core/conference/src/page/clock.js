// A metronome, run as a worker: the timers of a page that nobody looks at slow down to one tick a second, those of a
// worker do not. It is told its period in milliseconds once, and answers with empty messages.

onmessage = ({ data: period }) => setInterval(() => postMessage(null), period);
