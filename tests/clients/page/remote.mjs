// For a browser that no test drives from outside: the page asks the test what to do, and tells it what came of it.
// A value that is kept has a number, by which a later step can name it.

const kept = [];
const remote = new URLSearchParams(location.search).get("remote");

// Does nothing in a page that is driven from outside.
export async function serveRemote() {
  if (remote === null) return;
  window.addEventListener("error", ({ error }) => post("error", { error: `${error}\n${error.stack}` }));
  window.addEventListener("unhandledrejection", ({ reason }) => post("error", { error: `${reason}\n${reason.stack}` }));
  for (;;) {
    const response = await post("next", {});
    const { id, source, on, keep, argument } = await response.json();
    if (id === undefined) continue;
    run({ source, on, keep, argument }).then(
      (value) => post("answer", { id, value }),
      (error) => post("answer", { id, error: `${error}\n${error.stack}` }),
    );
  }
}

async function run({ source, on, keep, argument }) {
  const body = new Function(`return (${source})`)();
  const value = await (on === undefined ? body(argument) : body(kept[on], argument));
  return keep ? kept.push(value) - 1 : value;
}

function post(method, data) {
  return fetch(`/${method}`, { method: "POST", body: JSON.stringify({ remote, ...data }) });
}
