// The tiles on the stage: one for each person, as large as fits.

import { hueOf } from "./synthetic.js";

// A tile may be anything between these shapes, width by height: cameras of computers are wide, those of phones are not.
const NARROWEST = 4 / 3;
const NARROWEST_UPRIGHT = 3 / 4;
const WIDEST = 16 / 9;
// With fewer people than this, one's own picture is a small one in a corner.
const CROWD = 5;
const LEAST_WIDTH = 140;
const GAP = 12;
const SPEAKING_LEVEL = 0.02;

// Events: "blocked" when the browser does not let sound play yet.
export class Stage extends EventTarget {
  #element;
  #inner;
  #invitation;
  #tiles = new Map();

  // `invitation` takes the place of the others while there are none. It is in the element `inner`, which is in `element`.
  constructor({ element, inner, invitation }) {
    super();
    this.#element = element;
    this.#inner = inner;
    this.#invitation = invitation;
    new ResizeObserver(() => this.#layOut()).observe(element);
  }

  // `people`: [{id, name, self, mirrored, synthetic, micOn, camOn, audioTrack, videoTrack}]; `synthetic` is a word about
  // what is made by the page, or "".
  show(people, { invite = false } = {}) {
    this.#invitation.hidden = !invite;
    for (const [id, tile] of this.#tiles) {
      if (people.some((person) => person.id === id)) continue;
      tile.remove();
      this.#tiles.delete(id);
    }
    for (const person of people) {
      let tile = this.#tiles.get(person.id);
      if (!tile) {
        tile = new Tile(person, () => this.dispatchEvent(new Event("blocked")));
        this.#tiles.set(person.id, tile);
        this.#inner.append(tile.element);
      }
      tile.show(person);
    }
    this.#layOut();
  }

  clear() {
    this.show([]);
  }

  // `levels`: id -> 0..1
  speak(levels) {
    for (const [id, tile] of this.#tiles) tile.speak((levels.get(id) ?? 0) > SPEAKING_LEVEL);
  }

  // To be called on a user's gesture.
  async play() {
    await Promise.all([...this.#tiles.values()].map((tile) => tile.play()));
  }

  // The number of columns, and the shape, that make the tiles largest. A crowd scrolls.
  #layOut() {
    const style = this.#element.style;
    const { clientWidth: width, clientHeight: height } = this.#element;
    const people = this.#tiles.size;
    const inset = people > 1 && people < CROWD;
    this.#element.classList.toggle("inset", inset);
    const count = people - (inset ? 1 : 0) + (this.#invitation.hidden ? 0 : 1);
    const narrowest = width < height ? NARROWEST_UPRIGHT : NARROWEST;
    if (!count || !width || !height) return;
    let best = { area: 0 };
    for (let columns = 1; columns <= count; columns++) {
      const rows = Math.ceil(count / columns);
      const cellWidth = (width - GAP * (columns - 1)) / columns;
      const cellHeight = Math.max((height - GAP * (rows - 1)) / rows, LEAST_WIDTH / WIDEST);
      const ratio = Math.min(WIDEST, Math.max(narrowest, cellWidth / cellHeight));
      const tileWidth = Math.floor(Math.min(cellWidth, cellHeight * ratio));
      const area = (tileWidth * tileWidth) / ratio;
      if (area > best.area * 1.01) best = { area, columns, ratio, tileWidth };
      if (cellWidth < LEAST_WIDTH) break;
    }
    const { columns, ratio, tileWidth } = best;
    style.setProperty("--tile-width", `${tileWidth}px`);
    style.setProperty("--tile-ratio", String(ratio));
    style.setProperty("--stage-width", `${columns * tileWidth + GAP * (columns - 1)}px`);
  }
}

class Tile {
  element = document.createElement("article");
  #video = document.createElement("video");
  #audio = null;
  #avatar = document.createElement("span");
  #name = document.createElement("span");
  #tag = document.createElement("span");
  #onBlocked;

  constructor({ id, self }, onBlocked) {
    this.#onBlocked = onBlocked;
    this.element.className = "tile";
    this.element.dataset.peerId = id;
    if (self) this.element.dataset.self = "";
    Object.assign(this.#video, { playsInline: true, muted: true, autoplay: true, disablePictureInPicture: true });
    this.#video.setAttribute("aria-hidden", "true");
    this.#video.onloadeddata = () => this.element.classList.remove("waiting");
    const avatar = document.createElement("div");
    avatar.className = "avatar";
    avatar.setAttribute("aria-hidden", "true");
    avatar.append(this.#avatar);
    this.#name.className = "tile-name";
    const footer = document.createElement("footer");
    this.#tag.className = "tile-tag";
    footer.append(icon("i-mic-off"), this.#name, this.#tag);
    this.element.append(avatar, this.#video, footer);
    if (!self) {
      this.#audio = document.createElement("audio");
      this.#audio.autoplay = true;
      this.element.append(this.#audio);
    }
  }

  show({ name, self, mirrored, synthetic, micOn, camOn, audioTrack, videoTrack }) {
    const label = self ? `${name} (you)` : name;
    if (this.#name.textContent !== label) {
      this.#name.textContent = label;
      this.#avatar.textContent = initials(name);
      this.#avatar.style.setProperty("--hue", String(hueOf(name)));
    }
    this.#tag.textContent = synthetic ?? "";
    this.element.classList.toggle("mic-off", !micOn);
    this.element.classList.toggle("cam-off", !camOn);
    this.element.classList.toggle("mirrored", Boolean(mirrored));
    this.element.setAttribute("aria-label", [label, micOn ? "" : "muted", camOn ? "" : "video off"].filter(Boolean).join(", "));
    // Until its first frame a picture is nothing but grey.
    if (setTrack(this.#video, videoTrack) || !videoTrack) this.element.classList.add("waiting");
    if (this.#audio && setTrack(this.#audio, audioTrack)) this.play();
  }

  speak(speaking) {
    this.element.classList.toggle("speaking", speaking && !this.element.classList.contains("mic-off"));
  }

  async play() {
    this.#video.play().catch(() => {});
    if (!this.#audio?.srcObject) return;
    await this.#audio.play().catch((error) => {
      if (error.name === "NotAllowedError") this.#onBlocked();
    });
  }

  remove() {
    this.#video.srcObject = null;
    if (this.#audio) this.#audio.srcObject = null;
    this.element.remove();
  }
}

export function icon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  const use = document.createElementNS(namespace, "use");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

// Whether something changed.
function setTrack(element, track) {
  const current = element.srcObject?.getTracks()[0] ?? null;
  if (current === (track ?? null)) return false;
  element.srcObject = track ? new MediaStream([track]) : null;
  return Boolean(track);
}

function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map((word) => [...word][0]).join("").toUpperCase() || "?";
}
