// Two panes that move as one: what happens to one view happens to the other, as far in micrometres and as steeply.

export class Together {
  constructor(first, second) {
    this.panes = [first, second];
    this.active = false;
    this.leading = null;
    const real = first.slide.spacingUm && second.slide.spacingUm;
    // Length of a pixel: micrometres when both slides tell them, else parts of the slide's width.
    this.units = this.panes.map((pane) => (real ? pane.slide.spacingUm : 1 / pane.picture.source.width));
    for (const event of ["pan", "zoom", "rotate"]) {
      first.viewer.addHandler(event, () => this.follow(0));
      second.viewer.addHandler(event, () => this.follow(1));
    }
  }

  // Brings both to one scale, at which either is whole.
  sameScale() {
    const scales = this.panes.map((pane, index) => this.units[index] / pane.zoom(false));
    const coarser = Math.max(...scales);
    this.panes.forEach((pane, index) => pane.zoomTo(this.units[index] / coarser, true));
  }

  // From now on each follows the other, beginning with the two views as they are.
  start() {
    this.starts = this.panes.map((pane, index) => this.state(pane, index));
    this.active = true;
  }

  stop() {
    this.active = false;
  }

  state(pane, index) {
    const { x, y } = pane.center(false);
    const unit = this.units[index];
    return { x: x * unit, y: y * unit, scale: unit / pane.zoom(false), rotation: pane.viewport.getRotation() };
  }

  follow(leader) {
    if (!this.active || (this.leading ?? leader) !== leader) return;
    const follower = 1 - leader;
    const [from, to] = [this.starts[leader], this.starts[follower]];
    const now = this.state(this.panes[leader], leader);
    const turn = ((from.rotation - to.rotation) * Math.PI) / 180;
    const [dx, dy] = [now.x - from.x, now.y - from.y];
    const unit = this.units[follower];
    const pane = this.panes[follower];
    this.leading = leader;
    pane.viewport.setRotation(to.rotation + now.rotation - from.rotation);
    pane.viewport.zoomTo(pane.picture.imageToViewportZoom(unit / ((to.scale * now.scale) / from.scale)));
    pane.centerOn(
      (to.x + dx * Math.cos(turn) - dy * Math.sin(turn)) / unit,
      (to.y + dx * Math.sin(turn) + dy * Math.cos(turn)) / unit,
    );
    this.leading = null;
  }
}
