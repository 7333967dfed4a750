// One slide on the screen: OpenSeadragon in a section of the page that tells of the slide in `data-slide`.

import { DRAWING } from "../drawing.js";
import { tileSource } from "./source.js";

export class Pane {
  // `beside`: another slide is shown too, and may be much larger than this one at the same scale.
  constructor(section, beside) {
    this.section = section;
    this.slide = JSON.parse(section.dataset.slide);
    this.shows = 0;
    this.viewer = OpenSeadragon({
      ...DRAWING,
      element: this.find(".picture"),
      showNavigationControl: false,
      showNavigator: true,
      navigatorElement: this.find(".navigator"),
      navigatorMaintainSizeRatio: false,
      navigatorBackground: "transparent",
      navigatorBorderColor: "transparent",
      navigatorDisplayRegionColor: "#8f5fd6",
      navigatorOpacity: 1,
      animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.5,
      maxTilesPerFrame: 8, // with the usual one, a large screen takes seconds to fill
      minZoomImageRatio: beside ? 0.05 : 0.8,
      visibilityRatio: 0.5,
      preserveImageSizeOnResize: true, // what is beside the slide comes and goes, its magnification stays
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    });
    this.viewer.addHandler("canvas-key", (event) => {
      event.preventDefaultAction = true; // keys are the page's: keys.js
    });
    this.viewer.addHandler("update-viewport", () => this.frameNavigator());
    this.tellBusy();
  }

  // Tells who looks or listens whether the view is still moving or waiting for tiles.
  tellBusy() {
    let moving = false;
    const tell = () => {
      const done = !moving && this.picture && this.viewer.getFullyLoaded();
      this.section.setAttribute("aria-busy", String(!done));
    };
    tell();
    this.viewer.addHandler("animation-start", () => tell((moving = true)));
    this.viewer.addHandler("animation-finish", () => tell((moving = false)));
    this.viewer.addHandler("fully-loaded-change", tell);
    for (const event of ["add-item", "remove-item"]) this.viewer.world.addHandler(event, tell);
  }

  find(selector) {
    return this.section.querySelector(selector);
  }

  get viewport() {
    return this.viewer.viewport;
  }

  // The picture on top; none before the first has come.
  get picture() {
    const { world } = this.viewer;
    return world.getItemAt(world.getItemCount() - 1);
  }

  // Shows an image where another of the same slide may be seen: that one goes when this one is complete.
  async show(image, query = "") {
    const turn = ++this.shows;
    let source;
    try {
      source = await tileSource(image, query);
    } catch (error) {
      this.report(error.message);
      return;
    }
    if (turn !== this.shows) return;
    const { world } = this.viewer;
    const [oldest, ...others] = Array.from({ length: world.getItemCount() }, (_, index) => world.getItemAt(index));
    await new Promise((resolve) => {
      this.viewer.addTiledImage({ tileSource: source, success: resolve, error: resolve });
    });
    for (const other of others) world.removeItem(other);
    if (oldest) this.replaced(oldest);
    this.fitNavigator();
    this.report("");
  }

  replaced(oldest) {
    const { world } = this.viewer;
    const newest = this.picture;
    const away = () => world.getIndexOfItem(oldest) >= 0 && world.removeItem(oldest);
    if (newest.source.dimensions.equals(oldest.source.dimensions)) {
      newest.addHandler("fully-loaded-change", (event) => event.fullyLoaded && away());
    } else {
      away();
    }
  }

  // As wide or as high as its place, in the proportions of the slide.
  fitNavigator() {
    const { style } = this.find(".navigator");
    const { x, y } = this.picture.source.dimensions;
    style.aspectRatio = `${x} / ${y}`;
    style[x / y > 11 / 8 ? "height" : "width"] = "auto";
    this.viewer.navigator.updateSize();
  }

  // The frame of what is seen says nothing while everything is.
  frameNavigator() {
    const [view, slide] = [this.viewport.getBounds(true), this.picture?.getBounds(true)];
    const corners = slide ? [slide.getTopLeft(), slide.getTopRight(), slide.getBottomLeft(), slide.getBottomRight()] : [];
    this.find(".navigator").classList.toggle("whole", corners.every((corner) => view.containsPoint(corner, 1e-6)));
  }

  // Screen pixels that a pixel of the slide spans.
  zoom(current = true) {
    return this.picture.viewportToImageZoom(this.viewport.getZoom(current));
  }

  zoomTo(zoom, immediately = false) {
    this.viewport.zoomTo(this.picture.imageToViewportZoom(zoom), undefined, immediately).applyConstraints(immediately);
  }

  // The middle of the view, in pixels of the slide.
  center(current = true) {
    return this.picture.viewportToImageCoordinates(this.viewport.getCenter(current));
  }

  centerOn(x, y, immediately = false) {
    this.viewport.panTo(this.picture.imageToViewportCoordinates(x, y), immediately);
  }

  // Moves the view by parts of it: (0.25, 0) is a quarter to the right.
  moveBy(across, down) {
    const view = this.viewport.getBoundsNoRotate();
    const step = new OpenSeadragon.Point(across * view.width, down * view.height);
    this.viewport.panBy(step.rotate(-this.viewport.getRotation())).applyConstraints();
  }

  zoomBy(factor) {
    this.viewport.zoomBy(factor).applyConstraints();
  }

  turnBy(degrees) {
    this.viewport.rotateBy(degrees);
  }

  home() {
    this.viewport.goHome();
    this.viewport.setRotation(0);
  }

  report(problem) {
    const place = this.find(".problem");
    place.textContent = problem;
    place.hidden = !problem;
  }
}
