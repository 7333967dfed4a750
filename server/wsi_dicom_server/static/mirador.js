// A window of Mirador for each manifest, and nothing from elsewhere.

import { DRAWING } from "./drawing.js";
import { copyButtons } from "./notices.js";

const stage = document.getElementById("mirador");
const dark = matchMedia("(prefers-color-scheme: dark)").matches;

Mirador.viewer({
  id: stage.id,
  selectedTheme: dark ? "dark" : "light",
  windows: JSON.parse(stage.dataset.manifests).map((manifestId) => ({ manifestId, imageToolsEnabled: false })),
  window: { sideBarOpen: false, allowClose: true, defaultView: "single" },
  workspaceControlPanel: { enabled: false },
  osdConfig: DRAWING,
});

copyButtons();
