// What the page says above everything else: one line about what is going on, and messages that pass.

import { icon } from "./tiles.js";

const TOAST_TIME = 7000;
const COUNTDOWN_INTERVAL = 250;

export class Notices {
  #status;
  #text;
  #countdown;
  #action;
  #toasts;
  #retryAt = null;
  #timer = null;

  constructor({ status, text, countdown, action, toasts }) {
    this.#status = status;
    this.#text = text;
    this.#countdown = countdown;
    this.#action = action;
    this.#toasts = toasts;
  }

  // `status` is null or {sentence, retryAt, action}. `retryAt`, in terms of performance.now(), makes a countdown; `action`
  // is {label, run}, the one thing that the person can do about it.
  show(status) {
    this.#status.classList.toggle("shown", Boolean(status));
    // What has not changed is not to be read out again.
    const sentence = status?.sentence ?? "";
    if (this.#text.textContent !== sentence) this.#text.textContent = sentence;
    this.#action.hidden = !status?.action;
    this.#action.textContent = status?.action?.label ?? "";
    this.#action.onclick = status?.action?.run ?? null;
    this.#retryAt = status?.retryAt ?? null;
    clearInterval(this.#timer);
    this.#count();
    if (this.#retryAt !== null) this.#timer = setInterval(() => this.#count(), COUNTDOWN_INTERVAL);
  }

  // A message that goes by itself, unless `time` is null. `link` is put where it can be copied from.
  toast(text, { kind = "info", time = TOAST_TIME, link = null } = {}) {
    const same = [...this.#toasts.children].find((toast) => toast.firstChild.textContent === text);
    same?.remove();
    const toast = document.createElement("div");
    toast.className = `toast ${kind}`;
    toast.setAttribute("role", kind === "error" ? "alert" : "status");
    const content = document.createElement("div");
    const field = link && linkField(link);
    content.append(text, ...(field ? [field] : []));
    const close = document.createElement("button");
    close.className = "round small";
    close.type = "button";
    close.setAttribute("aria-label", "Dismiss");
    close.append(icon("i-close"));
    close.onclick = () => toast.remove();
    toast.append(content, close);
    this.#toasts.append(toast);
    field?.select();
    if (time !== null) setTimeout(() => toast.remove(), time);
  }

  #count() {
    if (this.#retryAt === null) {
      this.#countdown.textContent = "";
      return;
    }
    const seconds = Math.ceil((this.#retryAt - performance.now()) / 1000);
    this.#countdown.textContent = seconds > 0 ? `Trying again in ${seconds} s` : "Trying again…";
  }
}

function linkField(link) {
  const field = document.createElement("input");
  Object.assign(field, { className: "link", readOnly: true, value: link, onfocus: () => field.select() });
  field.setAttribute("aria-label", "The link to this room");
  return field;
}
