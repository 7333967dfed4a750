// The viewer of one slide: OpenSeadragon over the slide's IIIF service, with a scale bar and the magnification.
"use strict";

(() => {
  const stage = document.getElementById("viewer");
  const spacingUm = Number(stage.dataset.spacingUm) || null;
  const objective = Number(stage.dataset.objective) || null;

  function report(problem) {
    const place = document.getElementById("problem");
    place.textContent = problem;
    place.hidden = false;
  }

  if (typeof OpenSeadragon === "undefined") {
    report("The viewer's own files are missing from this server. Its log says how to build them.");
    return;
  }

  const viewer = OpenSeadragon({
    element: stage,
    tileSources: stage.dataset.info,
    drawer: "canvas",
    zoomInButton: "zoom-in",
    zoomOutButton: "zoom-out",
    homeButton: "home",
    rotateRightButton: "rotate",
    showFullPageControl: false,
    showNavigator: true,
    navigatorPosition: "BOTTOM_RIGHT",
    navigatorSizeRatio: 0.18,
    navigatorBackground: "#ffffff",
    navigatorBorderColor: "#8a829c",
    navigatorDisplayRegionColor: "#5b3f8c",
    navigatorOpacity: 1,
    animationTime: 0.5,
    maxZoomPixelRatio: 4,
    visibilityRatio: 0.5,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
  });
  viewer.addHandler("open-failed", () => report("This slide cannot be opened. Is the server still running?"));

  // The longest of 1, 2, 5, 10, 20, 50 ... micrometres that is no longer than the given length.
  function roundLength(um) {
    const power = 10 ** Math.floor(Math.log10(um));
    return [5, 2, 1].map((digit) => digit * power).find((length) => length <= um) ?? power;
  }

  function lengthText(um) {
    if (um >= 1000) return `${um / 1000} mm`;
    return um >= 1 ? `${um} µm` : `${um * 1000} nm`;
  }

  function measure() {
    const image = viewer.world.getItemAt(0);
    if (!image) return;
    const screenPerPixel = image.viewportToImageZoom(viewer.viewport.getZoom(true));
    const magnification = document.getElementById("magnification");
    if (!spacingUm) {
      magnification.textContent = `${(screenPerPixel * 100).toPrecision(2)} %`;
      return;
    }
    const umPerScreenPixel = spacingUm / screenPerPixel;
    const length = roundLength(umPerScreenPixel * Math.min(160, stage.clientWidth / 3));
    const bar = document.getElementById("scale-bar");
    bar.style.width = `${length / umPerScreenPixel}px`;
    document.getElementById("scale-text").textContent = lengthText(length);
    bar.hidden = false;
    // By convention 10 µm per pixel are 1×, when the slide does not tell what objective it was scanned with.
    const times = (objective ?? 10 / spacingUm) * screenPerPixel;
    magnification.textContent = `${times < 10 ? times.toPrecision(2) : Math.round(times)}×`;
  }

  for (const event of ["open", "animation", "resize", "update-viewport"]) viewer.addHandler(event, measure);
})();
