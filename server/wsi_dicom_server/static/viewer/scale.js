// Lengths and magnifications in words.

// The longest of 1, 2, 5, 10, 20, 50 ... micrometres that is no longer than the given length.
export function roundLength(um) {
  const power = 10 ** Math.floor(Math.log10(um));
  return [5, 2, 1].map((digit) => digit * power).find((length) => length <= um) ?? power;
}

export function lengthText(um) {
  if (um >= 10000) return `${um / 10000} cm`;
  if (um >= 1000) return `${um / 1000} mm`;
  return um >= 1 ? `${um} µm` : `${um * 1000} nm`;
}

export function magnificationText(times) {
  return `${times < 10 ? Number(times.toPrecision(2)) : Math.round(times)}×`;
}

// By convention 10 µm per pixel are 1×, when the slide does not tell what objective it was scanned with.
export function objectiveOf(slide) {
  if (slide.frames) return null;
  return slide.objective ?? (slide.spacingUm ? 10 / slide.spacingUm : null);
}

const STEPS = [2, 5, 10, 20, 40];

// What there are buttons for: the usual steps below the objective, and the objective itself.
export function magnifications(slide) {
  const objective = objectiveOf(slide);
  if (!objective || objective < 1.5) return [];
  const usual = STEPS.find((step) => Math.abs(step / objective - 1) < 0.05);
  const own = usual ?? Number(objective.toPrecision(2));
  return [...STEPS.filter((step) => step < own), own];
}
