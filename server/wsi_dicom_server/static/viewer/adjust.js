// Which plane, channels, frame or window a pane shows, and the controls that choose them.

import { Channels } from "./channels.js";
import { imageOf } from "./source.js";

export class Choices {
  // `place` is what the address says. `changed` is called after each change that somebody makes.
  constructor(pane, place, changed) {
    this.pane = pane;
    this.changed = changed;
    const { slide } = pane;
    this.path = within(place.path, 1, slide.paths.length, 1);
    this.focus = within(place.focus, 1, slide.focalPlanes, Math.ceil(slide.focalPlanes / 2));
    this.frame = within(place.frame, 0, (slide.frames ?? 1) - 1, slide.firstFrame ?? 0);
    this.window = /^-?[\d.]+,[\d.]+$/.test(place.window ?? "") ? place.window : "";
    const fieldset = pane.find(".channels");
    this.channels = fieldset && new Channels(fieldset, slide.paths, place.channels ?? "", () => this.show());
    const panel = pane.find(".adjust");
    if (panel && pane.section.clientWidth < 500) panel.open = false;
    this.slider("focus", (value) => focusText(slide, value));
    this.slider("frame", (value) => `${value + 1} of ${slide.frames}`);
    this.chooser();
    this.windowFields();
  }

  async show() {
    const query = new URLSearchParams();
    if (this.channels?.text) query.set("channels", this.channels.text);
    if (this.window) query.set("window", this.window);
    const image = imageOf(this.pane.slide, this);
    this.changed();
    await this.pane.show(image, query.size ? `?${query}` : "");
  }

  // What differs from the beginning, for the address.
  told() {
    const { slide } = this.pane;
    const told = {};
    if (slide.focalPlanes > 1) told.focus = this.focus;
    if (slide.frames > 1) told.frame = this.frame;
    if (slide.paths.length > 1 && !slide.channels) told.path = this.path;
    if (this.channels?.text) told.channels = this.channels.text;
    if (this.window) told.window = this.window;
    return told;
  }

  // One plane or frame further; `step` is 1 or -1.
  step(step) {
    const slider = this.pane.find("[name=focus], [name=frame]");
    if (!slider) return;
    slider.valueAsNumber += step;
    slider.dispatchEvent(new Event("input"));
  }

  slider(name, text) {
    const slider = this.pane.find(`[name=${name}]`);
    if (!slider) return;
    const said = this.pane.find(`output[data-of=${name}]`);
    const tell = () => {
      said.textContent = text(this[name]);
      slider.setAttribute("aria-valuetext", said.textContent);
    };
    slider.value = this[name];
    tell();
    slider.addEventListener("input", () => {
      if (this[name] === slider.valueAsNumber) return;
      this[name] = slider.valueAsNumber;
      tell();
      this.show();
    });
  }

  chooser() {
    const select = this.pane.find("select[name=path]");
    if (!select) return;
    select.value = this.path;
    select.addEventListener("change", () => {
      this.path = Number(select.value);
      this.show();
    });
  }

  windowFields() {
    const [center, width] = ["center", "width"].map((name) => this.pane.find(`[name=${name}]`));
    if (!center) return;
    [center.value, width.value] = this.window.split(",").concat("");
    const change = () => {
      const both = center.value !== "" && width.valueAsNumber > 0;
      if (!both && (center.value !== "" || width.value !== "")) return;
      this.window = both ? `${center.valueAsNumber},${width.valueAsNumber}` : "";
      this.show();
    };
    for (const field of [center, width]) field.addEventListener("change", change);
    this.pane.find("[data-do=own-window]").addEventListener("click", () => {
      center.value = width.value = "";
      change();
    });
  }
}

function within(text, least, most, otherwise) {
  const value = Number(text ?? NaN);
  return Number.isInteger(value) && value >= least && value <= most ? value : otherwise;
}

function focusText(slide, plane) {
  const middle = (slide.focalPlanes + 1) / 2;
  if (!slide.focalSpacingUm) return `${plane} of ${slide.focalPlanes}`;
  const um = Number(((plane - middle) * slide.focalSpacingUm).toFixed(2));
  return `${plane} of ${slide.focalPlanes}, ${um > 0 ? "+" : ""}${um} µm`;
}
