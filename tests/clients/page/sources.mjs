// Tracks to send. A source is {kind, from, ...}: see the README.

const OPEN = { camera, microphone, canvas, tone, screen };

export async function open({ kind, from = kind === "audio" ? "microphone" : "camera", contentHint = "", ...settings }) {
  const track = await OPEN[from](settings);
  track.contentHint = contentHint;
  return track;
}

async function camera({ width = 320, height = 240, frameRate = 15 }) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width, height, frameRate } });
  return stream.getVideoTracks()[0];
}

async function microphone(constraints) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: Object.keys(constraints).length > 0 ? constraints : true });
  return stream.getAudioTracks()[0];
}

async function screen({ frameRate = 15 }) {
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate } });
  return stream.getVideoTracks()[0];
}

// Squares of changing colours, of which `detail` in 0 to 1 says how many change a frame: what the encoder has to spend.
function canvas({ width = 320, height = 240, frameRate = 15, detail = 0.2 }) {
  const element = Object.assign(document.createElement("canvas"), { width, height });
  const context = element.getContext("2d");
  const side = 16;
  const [columns, rows] = [Math.ceil(width / side), Math.ceil(height / side)];
  const draw = () => {
    for (let left = Math.ceil(columns * rows * detail); left > 0; left -= 1) {
      context.fillStyle = `hsl(${Math.random() * 360} 80% ${20 + Math.random() * 60}%)`;
      context.fillRect(Math.floor(Math.random() * columns) * side, Math.floor(Math.random() * rows) * side, side, side);
    }
  };
  draw();
  const timer = setInterval(draw, 1000 / frameRate);
  const [track] = element.captureStream(frameRate).getVideoTracks();
  const stop = track.stop.bind(track);
  track.stop = () => {
    clearInterval(timer);
    stop();
  };
  return track;
}

// A sine wave of `frequency` Hz; `level` 0 is silence.
function tone({ frequency = 440, level = 0.5 }) {
  const context = new AudioContext();
  const oscillator = new OscillatorNode(context, { frequency });
  const gain = new GainNode(context, { gain: level });
  const { stream } = oscillator.connect(gain).connect(new MediaStreamAudioDestinationNode(context));
  oscillator.start();
  const [track] = stream.getAudioTracks();
  // So that a test can change the level of what is being sent.
  track.gain = gain.gain;
  return track;
}
