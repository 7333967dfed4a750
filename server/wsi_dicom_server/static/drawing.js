// How OpenSeadragon draws on all pages: a pixel of a slide becomes no larger than four of the screen.

export const DRAWING = { drawer: "canvas", maxZoomPixelRatio: 4 };
