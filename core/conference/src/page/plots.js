// The statistics panel: three small plots for each stream, drawn as the samples come.

const SAMPLES = 60;
const PLOTS = [
  { key: "bitrate", label: "Bitrate", color: "--plot-bitrate", least: 50_000, format: formatBitrate },
  { key: "loss", label: "Loss", color: "--plot-loss", least: 0.05, format: (loss) => `${(loss * 100).toFixed(1)} %` },
  { key: "rtt", label: "Round trip", color: "--plot-rtt", least: 20, format: (rtt) => (rtt === null ? "–" : `${rtt < 10 ? rtt.toFixed(1) : Math.round(rtt)} ms`) },
];

export class Panel {
  #body;
  // stream id -> {element, title, detail, plots: [{output, canvas, values}]}
  #streams = new Map();
  #sections = new Map();
  #empty = paragraph("stats-empty", "Nothing flows yet.");

  constructor(body) {
    this.#body = body;
    this.#body.append(this.#empty);
  }

  clear() {
    this.#streams.clear();
    this.#sections.clear();
    this.#body.replaceChildren(this.#empty);
  }

  show({ sending, receiving }) {
    this.#section("Sending", sending);
    this.#section("Receiving", receiving);
    this.#empty.hidden = Boolean(sending || receiving);
    const alive = new Set([...(sending?.streams ?? []), ...(receiving?.streams ?? [])].map(({ id }) => id));
    for (const [id, { element }] of this.#streams) {
      if (alive.has(id)) continue;
      element.remove();
      this.#streams.delete(id);
    }
  }

  #section(title, connection) {
    let section = this.#sections.get(title);
    if (!section) {
      const element = document.createElement("section");
      const head = document.createElement("div");
      head.className = "stats-transport";
      const heading = document.createElement("h3");
      heading.textContent = title;
      const path = document.createElement("p");
      head.append(heading, path);
      element.append(head);
      section = { element, path };
      this.#sections.set(title, section);
      this.#body.append(element);
    }
    section.element.hidden = !connection;
    if (!connection) return;
    section.path.textContent = pathSentence(connection);
    const order = ({ name, kind }) => `${name ?? ""} ${kind === "video" ? 0 : 1}`;
    for (const stream of [...connection.streams].sort((a, b) => order(a).localeCompare(order(b)))) this.#stream(section.element, stream);
  }

  #stream(parent, stream) {
    let entry = this.#streams.get(stream.id);
    if (!entry) {
      entry = makeStream();
      this.#streams.set(stream.id, entry);
      parent.append(entry.element);
    }
    const kind = stream.kind === "video" ? "Video" : "Audio";
    entry.title.textContent = stream.name ? `${stream.name} · ${kind.toLowerCase()}` : kind;
    entry.detail.textContent = detailOf(stream);
    entry.plots.forEach((plot, index) => {
      const { key, format } = PLOTS[index];
      plot.values.push(stream[key] ?? 0);
      if (plot.values.length > SAMPLES) plot.values.shift();
      plot.output.textContent = format(stream[key]);
      draw(plot.canvas, plot.values, PLOTS[index]);
    });
  }
}

function makeStream() {
  const element = document.createElement("div");
  element.className = "stats-stream";
  const heading = document.createElement("h4");
  const title = document.createElement("b");
  const detail = document.createElement("span");
  heading.append(title, detail);
  const grid = document.createElement("div");
  grid.className = "plots";
  const plots = PLOTS.map(({ label }) => {
    const plot = document.createElement("div");
    plot.className = "plot";
    const text = document.createElement("div");
    const output = document.createElement("output");
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    text.append(label, output);
    plot.append(text, canvas);
    grid.append(plot);
    return { output, canvas, values: [] };
  });
  element.append(heading, grid);
  return { element, title, detail, plots };
}

function draw(canvas, values, { color, least }) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  const stroke = style.getPropertyValue(color).trim();
  const top = Math.max(least, ...values) * 1.1;
  const x = (index) => ((index + SAMPLES - values.length) / (SAMPLES - 1)) * width;
  const y = (value) => height - 1.5 - (value / top) * (height - 4);
  context.strokeStyle = style.getPropertyValue("--line").trim();
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(0, height - 0.5);
  context.lineTo(width, height - 0.5);
  context.stroke();
  if (values.length < 2) return;
  context.beginPath();
  values.forEach((value, index) => context.lineTo(x(index), y(value)));
  context.strokeStyle = stroke;
  context.lineWidth = 1.6;
  context.lineJoin = "round";
  context.stroke();
  context.lineTo(x(values.length - 1), height);
  context.lineTo(x(0), height);
  context.closePath();
  context.globalAlpha = 0.14;
  context.fillStyle = stroke;
  context.fill();
  context.globalAlpha = 1;
}

function pathSentence({ state, protocol, remote, rtt, cipher }) {
  if (state !== "connected" || !remote) return state === "connected" ? "Connected" : "Connecting…";
  const parts = [`${(protocol ?? "").toUpperCase()} to ${remote}`];
  if (rtt !== null) parts.push(`${rtt < 10 ? rtt.toFixed(1) : Math.round(rtt)} ms`);
  if (cipher) parts.push(cipher.replace(/^SRTP_/, "").replaceAll("_", " "));
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

function paragraph(className, text) {
  const element = document.createElement("p");
  element.className = className;
  element.textContent = text;
  return element;
}
