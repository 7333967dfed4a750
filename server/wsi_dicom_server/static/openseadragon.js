// OpenSeadragon as it comes, over one image service.

import { DRAWING } from "./drawing.js";
import { copyButtons } from "./notices.js";

const stage = document.getElementById("openseadragon");

OpenSeadragon({
  ...DRAWING,
  element: stage,
  tileSources: stage.dataset.info,
  showNavigationControl: false,
  showNavigator: true,
});

copyButtons();
