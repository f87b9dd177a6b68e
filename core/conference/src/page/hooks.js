// `window.sfu`: a view of the page for tests and for the curious at the console. It shows, and presses the same
// buttons as a person; it changes nothing else.
//
//   state     "lobby", "connecting", "joined", "reconnecting", "left", "failed"
//   room, peerId, name, synthetic, micOn, camOn
//   error     the last sentence about something that went wrong, or null
//   joins     how many times the room was joined: 1, and one more for each rejoin
//   sending, receiving   the RTCPeerConnections, or null
//   peers     the others: [{id, name, micOn, camOn, audio, video}], the last two ids of consumers or null
//   stats()   resolves to a sample of statistics.js
//   join(), leave(), setMic(on), setCam(on), restartIce(), dropSocket()

import { Statistics } from "./statistics.js";

export function exposeHooks(page) {
  const statistics = new Statistics();
  const read = (get) => ({ get, enumerable: true });
  const view = Object.defineProperties({}, {
    state: read(() => page.session?.state ?? "lobby"),
    room: read(() => page.room),
    peerId: read(() => page.session?.peerId ?? null),
    name: read(() => page.name),
    synthetic: read(() => page.media?.synthetic ?? false),
    micOn: read(() => page.media?.micOn ?? false),
    camOn: read(() => page.media?.camOn ?? false),
    error: read(() => page.lastError),
    joins: read(() => page.session?.joins ?? 0),
    sending: read(() => page.session?.sending ?? null),
    receiving: read(() => page.session?.receiving ?? null),
    peers: read(() => [...(page.session?.peers.values() ?? [])].map(({ id, name, audio, video }) => ({
      id,
      name,
      micOn: Boolean(audio && !audio.paused),
      camOn: Boolean(video && !video.paused),
      audio: audio?.id ?? null,
      video: video?.id ?? null,
    }))),
  });
  const actions = {
    stats: () => statistics.sample(page.session),
    join: () => page.join(),
    leave: () => page.leave(),
    setMic: (on) => page.setMic(on),
    setCam: (on) => page.setCam(on),
    restartIce: () => page.session?.restartIce(),
    dropSocket: () => page.session?.dropSocket(),
  };
  window.sfu = Object.freeze(Object.assign(view, actions));
}
