// The channels of a fluorescence slide: which are shown, in what colour, and over which range of values.
//
// `text` is what the server and the address are told, "1:ff0000:0-4000,3": shown paths counted from 1, each with a colour
// and a range where these are not the slide's own; empty when everything is as the slide has it.

const ENTRY = /^(\d+)(?::([0-9a-f]{6})?)?(?::(\d+)-(\d+))?$/i;

export class Channels {
  constructor(fieldset, paths, text, changed) {
    this.rows = paths.map((path, index) => {
      const row = fieldset.querySelector(`[data-path="${index + 1}"]`);
      const [shown, color, low, high] = ["shown", "color", "low", "high"].map((n) => row.querySelector(`[name=${n}]`));
      return { shown, color, low, high, own: path.color };
    });
    this.read(text);
    this.text = this.told();
    fieldset.addEventListener("change", () => {
      this.text = this.told();
      changed();
    });
  }

  read(text) {
    const entries = text.split(",").map((entry) => ENTRY.exec(entry)).filter(Boolean);
    if (!entries.length) return;
    for (const row of this.rows) row.shown.checked = false;
    for (const [, number, color, low, high] of entries) {
      const row = this.rows[number - 1];
      if (!row) continue;
      row.shown.checked = true;
      if (color) row.color.value = `#${color}`;
      if (low !== undefined) [row.low.value, row.high.value] = [low, high];
    }
  }

  told() {
    const shown = this.rows.map((row, index) => row.shown.checked && this.entry(row, index + 1)).filter(Boolean);
    return shown.length === this.rows.length && shown.every((entry) => /^\d+$/.test(entry)) ? "" : shown.join(",");
  }

  entry({ color, low, high, own }, number) {
    const coloured = color.value.slice(1) === own ? "" : color.value.slice(1);
    const ranged = low.value !== "" && high.valueAsNumber > low.valueAsNumber;
    if (!ranged) return `${number}${coloured && `:${coloured}`}`;
    return `${number}:${coloured}:${low.valueAsNumber}-${high.valueAsNumber}`;
  }
}
