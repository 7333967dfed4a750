// Slides and DICOM files are dropped anywhere on the page, or chosen; each upload becomes a job of the server.

import { say } from "../notices.js";
import { gathered, grouped } from "./files.js";
import { Jobs } from "./jobs.js";

const jobs = new Jobs(document.querySelector(".jobs"));
const choosers = { add: "[data-files]", "add-folder": "[data-folder]" };
const drop = document.querySelector(".drop");

for (const [name, selector] of Object.entries(choosers)) {
  const chooser = document.querySelector(selector);
  document.addEventListener("click", ({ target }) => target.closest(`[data-do=${name}]`) && chooser.click());
  chooser.addEventListener("change", () => {
    add([...chooser.files].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
    chooser.value = "";
  });
}

const withFiles = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragover", (event) => {
  if (!withFiles(event)) return;
  event.preventDefault();
  drop.hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.hidden = true;
});
addEventListener("drop", async (event) => {
  if (!withFiles(event)) return;
  event.preventDefault();
  drop.hidden = true;
  add(await gathered(event.dataTransfer));
});

// One upload after the other: together they would only share the line.
let last = Promise.resolve();
function add(files) {
  if (!files.length) say("There are no files in this");
  for (const group of grouped(files)) {
    const row = jobs.upload(group);
    last = last.then(() => row.send());
  }
}
