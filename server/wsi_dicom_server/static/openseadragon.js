// OpenSeadragon as it comes, over one image service.

import { copyButtons } from "./notices.js";

const stage = document.getElementById("openseadragon");

OpenSeadragon({
  element: stage,
  tileSources: stage.dataset.info,
  drawer: "canvas",
  showNavigationControl: false,
  showNavigator: true,
  maxZoomPixelRatio: 4,
});

copyButtons();
