// A block that shows commands with what they print is copied as the commands alone, ready to be pasted into a shell.
(() => {
  const commands = (text) => {
    const kept = [];
    let goesOn = false;
    for (const line of text.split("\n")) {
      if (line.startsWith("$ ") || goesOn) {
        kept.push(goesOn ? line : line.slice(2));
        goesOn = line.endsWith("\\");
      }
    }
    return kept.join("\n");
  };
  // In the capturing phase, so that it comes before the handler that copies everything.
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".clip-button");
    const code = button?.closest("pre")?.querySelector("code.language-console");
    if (!code || !navigator.clipboard) return;
    event.stopImmediatePropagation();
    navigator.clipboard.writeText(commands(code.textContent)).then(() => {
      button.classList.add("tooltipped");
      button.querySelector(".tooltiptext")?.replaceChildren("Copied!");
    });
  }, true);
})();
