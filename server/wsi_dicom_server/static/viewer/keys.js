// The keyboard: one table, of which the help lists what it says. Keys that are pressed in a field are the field's.

export function keyboard(commands, list) {
  const bound = new Map(commands.flatMap(({ keys, act }) => keys.map((key, index) => [key, () => act(index)])));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || taken(event)) return;
    const run = bound.get(event.key);
    if (!run) return;
    event.preventDefault();
    run();
  });
  list.replaceChildren(...commands.flatMap(entry));
}

function taken({ key, target }) {
  if (document.querySelector("dialog[open]")) return true;
  if (target.matches("input[type=range]")) return key.startsWith("Arrow");
  return target.matches("input, select, textarea");
}

const NAMES = { ArrowLeft: "←", ArrowUp: "↑", ArrowDown: "↓", ArrowRight: "→" };

function entry({ keys, shown = keys, says }) {
  const term = document.createElement("dt");
  for (const key of shown) {
    const cap = document.createElement("kbd");
    cap.textContent = NAMES[key] ?? key;
    term.append(cap);
  }
  const description = document.createElement("dd");
  description.textContent = says;
  return [term, description];
}
