// Scale bar, magnification and its buttons, and where the pointer is.

import { lengthText, magnifications, magnificationText, objectiveOf, roundLength } from "./scale.js";

export function measure(pane) {
  const { slide, viewer } = pane;
  const objective = objectiveOf(slide);
  const buttons = magnifications(slide).map((times) => magnificationButton(pane, times, objective));
  pane.find(".magnifications").prepend(...[...buttons].reverse());

  function update() {
    if (!pane.picture) return;
    const zoom = pane.zoom();
    const times = objective && objective * zoom;
    pane.find(".magnification").textContent = times ? magnificationText(times) : `${Math.round(zoom * 100)} %`;
    for (const button of buttons) button.ariaPressed = String(Math.abs(button.value / times - 1) < 0.02);
    if (slide.spacingUm) drawScaleBar(pane);
  }

  for (const event of ["animation", "resize", "update-viewport"]) viewer.addHandler(event, update);
  viewer.world.addHandler("add-item", update);
  if (slide.spacingUm) tellPlace(pane);
}

function magnificationButton(pane, times, objective) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tool";
  button.value = times;
  button.textContent = `${times}×`;
  button.setAttribute("aria-label", `Magnify ${times} times`);
  button.addEventListener("click", () => pane.zoomTo(times / objective));
  return button;
}

// A round length that leaves most of the pane free, in pixels of the screen and in words.
export function scaleBar(pane) {
  const umPerScreenPixel = pane.slide.spacingUm / pane.zoom();
  const um = roundLength(umPerScreenPixel * Math.min(160, pane.section.clientWidth / 4));
  return { pixels: um / umPerScreenPixel, text: lengthText(um) };
}

function drawScaleBar(pane) {
  const bar = pane.find(".scale-bar");
  const { pixels, text } = scaleBar(pane);
  bar.style.width = `${pixels}px`;
  bar.textContent = text;
  bar.hidden = false;
}

// In millimetres from the upper left corner of the slide's picture.
function tellPlace(pane) {
  const { spacingUm, spacingYUm } = pane.slide;
  const place = pane.find(".coordinates");
  new OpenSeadragon.MouseTracker({
    element: pane.find(".picture"),
    moveHandler: (event) => {
      if (!pane.picture) return;
      const { x, y } = pane.picture.viewerElementToImageCoordinates(event.position);
      const mm = [x * spacingUm, y * spacingYUm].map((um) => (um / 1000).toFixed(3));
      place.textContent = `x ${mm[0]}  y ${mm[1]} mm`;
    },
    leaveHandler: () => {
      place.textContent = "";
    },
  });
}
