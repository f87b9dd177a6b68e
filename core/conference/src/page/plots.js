// The statistics panel: small plots for each path and stream. Samples are kept all the time, and drawn while somebody
// looks.

const SAMPLES = 60;
// Above the line of the highest value stands how much that is.
const LABEL_HEIGHT = 13;
const PLOTS = {
  bitrate: { label: "Bitrate", color: "--plot-bitrate", least: 50_000, format: formatBitrate },
  loss: { label: "Loss", color: "--plot-loss", least: 0.05, format: (loss) => `${(loss * 100).toFixed(1)} %` },
  rtt: { label: "Round trip", color: "--plot-rtt", least: 20, format: formatTime },
};

export class Panel {
  #body;
  #empty = make("p", "stats-empty", "Nothing flows yet.");
  #sections = {
    sending: new Section("Sending", "Connecting…"),
    receiving: new Section("Receiving", "Nobody sends anything yet."),
  };

  constructor(body) {
    this.#body = body;
    this.clear();
    const redraw = () => this.draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new ResizeObserver(redraw).observe(body);
  }

  clear() {
    for (const section of Object.values(this.#sections)) section.clear();
    this.#body.replaceChildren(this.#empty, ...Object.values(this.#sections).map(({ element }) => element));
  }

  // Takes a sample of statistics.js.
  add(sample) {
    for (const [which, section] of Object.entries(this.#sections)) section.add(sample[which]);
    this.#empty.hidden = Boolean(sample.sending || sample.receiving);
  }

  draw() {
    if (!this.#body.clientWidth) return;
    for (const section of Object.values(this.#sections)) section.draw();
  }
}

// One connection: its path, and a block for each stream.
class Section {
  element = make("section");
  #path = make("p");
  #new;
  #trip = new Plot(PLOTS.rtt);
  #plots = make("div");
  #streams = new Map();
  #list = make("div");

  // `sentenceWhenNew` tells why there is no path at first.
  constructor(title, sentenceWhenNew) {
    this.#new = sentenceWhenNew;
    const head = make("div", "stats-transport");
    head.append(make("h3", "", title), this.#path);
    const trip = make("div", "plots");
    trip.append(this.#trip.element);
    this.#plots.append(trip, axis());
    this.element.append(head, this.#plots, this.#list);
    this.clear();
  }

  clear() {
    this.#streams.clear();
    this.#list.replaceChildren();
    this.#trip.clear();
    this.element.hidden = true;
  }

  add(connection) {
    this.element.hidden = !connection;
    this.#path.textContent = connection?.state === "new" ? this.#new : connection ? pathSentence(connection) : "";
    this.#trip.add(connection?.rtt ?? null);
    this.#plots.hidden = this.#trip.isEmpty;
    const streams = new Map((connection?.streams ?? []).map((stream) => [stream.source, stream]));
    const order = ({ name, kind }) => `${name ?? ""} ${kind === "video" ? 0 : 1}`;
    for (const [source, stream] of [...streams].sort(([, a], [, b]) => order(a).localeCompare(order(b)))) {
      if (this.#streams.has(source)) continue;
      const entry = new Stream(stream);
      this.#streams.set(source, entry);
      this.#list.append(entry.element);
    }
    for (const [source, entry] of this.#streams) {
      entry.add(streams.get(source) ?? null);
      if (!entry.isOver) continue;
      entry.element.remove();
      this.#streams.delete(source);
    }
  }

  draw() {
    this.#trip.draw();
    for (const stream of this.#streams.values()) stream.draw();
  }
}

class Stream {
  element = make("div", "stats-stream");
  #detail = make("span");
  #title = make("b");
  #plots = Object.fromEntries(Object.entries(PLOTS).map(([key, plot]) => [key, new Plot(plot)]));

  constructor({ kind }) {
    const heading = make("h4");
    heading.append(make("span", "kind", kind === "video" ? "Video" : "Audio"), this.#title, this.#detail);
    const grid = make("div", "plots");
    grid.append(...Object.values(this.#plots).map(({ element }) => element));
    this.element.append(heading, grid);
  }

  // Whether it has been gone for so long that nothing of it would be drawn.
  get isOver() {
    return Object.values(this.#plots).every(({ isEmpty }) => isEmpty) && this.element.hidden;
  }

  // A stream that is gone may come back after a new join: `stream` is null meanwhile.
  add(stream) {
    this.element.hidden = !stream;
    for (const [key, plot] of Object.entries(this.#plots)) plot.add(stream?.[key] ?? null);
    // Who only receives is not told a stream's own round trip; the path's stands above.
    this.#plots.rtt.element.hidden = this.#plots.rtt.isEmpty;
    if (!stream) return;
    this.#title.textContent = stream.name ?? "";
    this.#detail.textContent = detailOf(stream);
  }

  draw() {
    for (const plot of Object.values(this.#plots)) plot.draw();
  }
}

// The last minute of one figure.
class Plot {
  element = make("div", "plot");
  #options;
  #values = [];
  #value = make("b");
  #most = make("span", "plot-most");
  #canvas = make("canvas");

  constructor(options) {
    this.#options = options;
    const text = make("div", "plot-text");
    text.append(options.label, this.#value);
    const area = make("div", "plot-area");
    this.#canvas.setAttribute("aria-hidden", "true");
    this.#most.setAttribute("aria-hidden", "true");
    area.append(this.#canvas, this.#most);
    this.element.append(text, area);
  }

  get isEmpty() {
    return this.#values.every((value) => value === null);
  }

  clear() {
    this.#values = [];
  }

  // `value` is null where it is not known.
  add(value) {
    this.#values.push(value);
    if (this.#values.length > SAMPLES) this.#values.shift();
  }

  draw() {
    const { color, least, format } = this.#options;
    const latest = this.#values.at(-1) ?? null;
    this.#value.textContent = latest === null ? "–" : format(latest);
    const most = Math.max(least, ...this.#values);
    this.#most.textContent = format(most);
    const surface = prepare(this.#canvas);
    if (!surface) return;
    const { context, width, height } = surface;
    const style = getComputedStyle(this.#canvas);
    const x = (index) => ((index + SAMPLES - this.#values.length) / (SAMPLES - 1)) * width;
    const y = (value) => height - 1 - (value / most) * (height - 1 - LABEL_HEIGHT);
    context.strokeStyle = style.getPropertyValue("--line").trim();
    context.lineWidth = 1;
    for (const level of [0, most / 2, most]) {
      context.beginPath();
      context.moveTo(0, Math.round(y(level)) - 0.5);
      context.lineTo(width, Math.round(y(level)) - 0.5);
      context.stroke();
    }
    context.strokeStyle = context.fillStyle = style.getPropertyValue(color).trim();
    context.lineWidth = 1.6;
    context.lineJoin = context.lineCap = "round";
    for (const run of runs(this.#values)) {
      // A single sample is a dot.
      context.beginPath();
      for (const [index, value] of run) context.lineTo(x(index), y(value));
      if (run.length === 1) context.lineTo(x(run[0][0]), y(run[0][1]));
      context.stroke();
      context.lineTo(x(run.at(-1)[0]), height);
      context.lineTo(x(run[0][0]), height);
      context.closePath();
      context.globalAlpha = 0.14;
      context.fill();
      context.globalAlpha = 1;
    }
  }
}

// The stretches of known values, as [index, value].
function runs(values) {
  const found = [];
  values.forEach((value, index) => {
    if (value === null) return;
    if (index === 0 || values[index - 1] === null) found.push([]);
    found.at(-1).push([index, value]);
  });
  return found;
}

// An empty canvas with one unit for each CSS pixel, or null where it is not shown.
function prepare(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return { context, width, height };
}

function axis() {
  const element = make("div", "plot-axis");
  element.append(make("span", "", `${SAMPLES} s ago`), make("span", "", "now"));
  element.setAttribute("aria-hidden", "true");
  return element;
}

function pathSentence({ state, protocol, remote, cipher }) {
  if (state !== "connected") return state === "failed" || state === "disconnected" ? "Interrupted" : "Connecting…";
  const parts = remote ? [`${(protocol ?? "").toUpperCase()} to ${remote}`] : ["Connected"];
  if (cipher) parts.push(cipher.replace(/^(SRTP_)?(AEAD_)?/, "").replaceAll("_", " "));
  return parts.join(" · ");
}

function detailOf({ kind, codec, frameWidth, frameHeight, framesPerSecond, jitter }) {
  const parts = [];
  if (codec) parts.push(codec.split("/")[1]);
  if (kind === "video" && frameHeight) parts.push(`${frameWidth}×${frameHeight}`);
  if (kind === "video" && framesPerSecond) parts.push(`${Math.round(framesPerSecond)} fps`);
  if (kind === "audio" && jitter !== null) parts.push(`jitter ${jitter.toFixed(0)} ms`);
  return parts.join(" · ");
}

function formatBitrate(bitrate) {
  if (bitrate >= 1e6) return `${(bitrate / 1e6).toFixed(2)} Mb/s`;
  return `${Math.round(bitrate / 1e3)} kb/s`;
}

function formatTime(milliseconds) {
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}

function make(tag, className = "", text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}
