// The view in the address: what is after the # says which part of which plane is seen, so a link leads right there.
// With two slides, names that end in 2 are of the second.

export function placeInAddress(number) {
  const told = new URLSearchParams(location.hash.slice(1));
  const place = {};
  for (const [name, value] of told) {
    if (name.endsWith("2") !== (number === 2)) continue;
    place[number === 2 ? name.slice(0, -1) : name] = value;
  }
  return place;
}

export function goTo(pane, place) {
  const [x, y, zoom, rotation] = [place.x, place.y, place.zoom, place.rotation ?? 0].map(Number);
  if (![x, y, zoom, rotation].every(Number.isFinite) || zoom <= 0) return false;
  pane.viewport.setRotation(rotation, true);
  pane.zoomTo(zoom, true);
  pane.centerOn(x, y, true);
  return true;
}

// Keeps the address of this page that of what it shows. `chosen` tells the choices of each pane beside its place.
export function keepAddress(panes, chosen) {
  function write() {
    const told = new URLSearchParams();
    panes.forEach((pane, index) => {
      if (!pane.picture) return;
      const { x, y } = pane.center(false);
      const rotation = ((pane.viewport.getRotation() % 360) + 360) % 360;
      const place = { x: Math.round(x), y: Math.round(y), zoom: Number(pane.zoom(false).toPrecision(4)) };
      if (rotation) place.rotation = rotation;
      for (const [name, value] of Object.entries({ ...place, ...chosen(index) })) {
        told.set(index ? `${name}2` : name, value);
      }
    });
    history.replaceState(null, "", `#${told}`);
  }
  for (const pane of panes) {
    pane.viewer.addHandler("animation-finish", write);
    pane.viewer.addHandler("rotate", write);
  }
  return write;
}
