// Pixels as the slide has them. OpenSeadragon draws every tile a pixel larger than it is, or seams would show between
// tiles that end within a pixel of the screen; the slide is blurred by that. There are no seams where a pixel of a tile is
// one of the screen: at the objective's own magnification, half of it, a quarter ... and upright. So the view comes to
// rest on whole pixels there, and tiles are drawn as they are.

const NEARLY = 0.01; // pixels

export function keepSharp(pane) {
  const { viewer, viewport } = pane;
  const exact = () => {
    const pixel = pane.zoom() * OpenSeadragon.pixelDensityRatio;
    return viewport.getRotation(true) % 360 === 0 && pixel <= 1 && whole(Math.log2(pixel), 1e-6);
  };
  const corner = () => {
    const { x, y } = viewport.pixelFromPointNoRotate(new OpenSeadragon.Point(0, 0), true);
    return [x, y].map((side) => side * OpenSeadragon.pixelDensityRatio);
  };
  viewer.drawer.minimumOverlapRequired = () => !(exact() && corner().every((side) => whole(side, NEARLY)));
  viewer.addHandler("animation-finish", () => {
    if (!exact()) return;
    const [x, y] = corner().map((side) => (side - Math.round(side)) / OpenSeadragon.pixelDensityRatio);
    if (Math.max(Math.abs(x), Math.abs(y)) * OpenSeadragon.pixelDensityRatio < NEARLY / 2) return;
    viewport.panBy(viewport.deltaPointsFromPixelsNoRotate(new OpenSeadragon.Point(x, y), true), true);
  });
}

function whole(value, tolerance) {
  return Math.abs(value - Math.round(value)) < tolerance;
}
