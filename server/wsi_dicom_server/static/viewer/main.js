// The viewer page: panes, what they are told to do by buttons and keys, and the address that leads back here.

import { copyButtons, copyText, say } from "../notices.js";
import { Choices } from "./adjust.js";
import { keyboard } from "./keys.js";
import { measure } from "./measure.js";
import { Pane } from "./pane.js";
import { goTo, keepAddress, placeInAddress } from "./place.js";
import { magnifications, objectiveOf } from "./scale.js";
import { keepSharp } from "./sharp.js";
import { saveView } from "./snapshot.js";
import { Together } from "./together.js";

const one = (selector) => document.querySelector(selector);
const press = (name) => () => one(`.actions [data-do=${name}]`)?.click();

async function start() {
  const sections = [...document.querySelectorAll(".pane")];
  if (typeof OpenSeadragon === "undefined") {
    const problem = sections[0].querySelector(".problem");
    problem.textContent = "The viewer's own files are missing from this server. Its log says how to build them.";
    problem.hidden = false;
    return;
  }
  const panes = sections.map((section) => new Pane(section, sections.length > 1));
  const places = panes.map((_, index) => placeInAddress(index + 1));
  let write = () => {};
  const choices = panes.map((pane, index) => new Choices(pane, places[index], () => write()));
  let active = 0;
  panes.forEach((pane, index) => {
    keepSharp(pane);
    measure(pane);
    tools(pane);
    for (const event of ["pointerenter", "focusin"]) pane.section.addEventListener(event, () => (active = index));
  });
  actions(panes);
  keyboard(commands(() => panes[active], () => choices[active]), one(".keys"));
  await Promise.all(choices.map((choice) => choice.show()));
  if (!panes.every((pane) => pane.picture)) return;
  const found = panes.map((pane, index) => goTo(pane, places[index]));
  if (panes.length === 2) side(panes, found.every(Boolean));
  write = keepAddress(panes, (index) => choices[index].told());
  addEventListener("hashchange", () => location.reload());
}

function tools(pane) {
  const run = {
    "zoom-in": () => pane.zoomBy(2),
    "zoom-out": () => pane.zoomBy(0.5),
    home: () => pane.home(),
    "turn-left": () => pane.turnBy(-90),
    "turn-right": () => pane.turnBy(90),
  };
  for (const [name, act] of Object.entries(run)) pane.find(`[data-do=${name}]`).addEventListener("click", act);
}

function actions(panes) {
  const run = {
    link: async () => say((await copyText(location.href)) ? "The link to this view is copied" : "Copy the address above"),
    save: () => saveView(panes),
    help: () => one(".help").showModal(),
    details: toggleDetails,
    "full-screen": () => (document.fullscreenElement ? document.exitFullscreen() : one(".stage").requestFullscreen()),
  };
  for (const [name, act] of Object.entries(run)) one(`.actions [data-do=${name}]`).addEventListener("click", act);
  one(".actions [data-do=full-screen]").hidden = !document.fullscreenEnabled;
  one(".help [data-do=close]").addEventListener("click", () => one(".help").close());
  copyButtons();
}

function toggleDetails() {
  const panel = one("#details");
  panel.hidden = !panel.hidden;
  one("[data-do=details]").setAttribute("aria-expanded", String(!panel.hidden));
}

function side(panes, placed) {
  const together = new Together(...panes);
  if (!placed) together.sameScale();
  together.start();
  const button = one("[data-do=together]");
  button.addEventListener("click", () => {
    if (together.active) together.stop();
    else together.start();
    button.setAttribute("aria-pressed", String(together.active));
    say(together.active ? "The slides move together" : "Each slide moves alone");
  });
}

// What keys do: `act` is told which of `keys` was pressed, counted from 0; the help shows `shown`.
function commands(pane, choices) {
  const moves = [[-0.2, 0], [0, -0.2], [0, 0.2], [0.2, 0]];
  const magnify = (number) => {
    const times = magnifications(pane().slide)[number];
    if (times) pane().zoomTo(times / objectiveOf(pane().slide));
  };
  return [
    { keys: ["ArrowLeft", "ArrowUp", "ArrowDown", "ArrowRight"], says: "move", act: (i) => pane().moveBy(...moves[i]) },
    { keys: ["+", "="], shown: ["+"], says: "zoom in", act: () => pane().zoomBy(2) },
    { keys: ["-", "_"], shown: ["-"], says: "zoom out", act: () => pane().zoomBy(0.5) },
    { keys: ["0"], says: "show the whole slide", act: () => pane().home() },
    { keys: ["1", "2", "3", "4", "5"], shown: ["1", "…", "5"], says: "magnifications, weakest first", act: magnify },
    { keys: ["r"], says: "turn right", act: () => pane().turnBy(90) },
    { keys: ["R"], says: "turn left", act: () => pane().turnBy(-90) },
    { keys: ["[", "PageUp"], shown: ["["], says: "previous focal plane or frame", act: () => choices().step(-1) },
    { keys: ["]", "PageDown"], shown: ["]"], says: "next focal plane or frame", act: () => choices().step(1) },
    { keys: ["t"], says: "two slides: move together, or alone", act: press("together") },
    { keys: ["l"], says: "copy the link to this view", act: press("link") },
    { keys: ["s"], says: "save this view as a picture", act: press("save") },
    { keys: ["d"], says: "details", act: press("details") },
    { keys: ["f"], says: "full screen", act: press("full-screen") },
    { keys: ["?"], says: "this help", act: press("help") },
  ];
}

start();
