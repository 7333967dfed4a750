// What the panes show as one PNG file, each with its scale bar.

import { scaleBar } from "./measure.js";

const EDGE = 12; // CSS pixels between the scale bar and the corner

export function saveView(panes) {
  const sides = panes.map((pane) => pane.viewer.drawer.canvas);
  const sheet = document.createElement("canvas");
  const first = panes[0].section.getBoundingClientRect();
  const boxes = panes.map((pane) => pane.section.getBoundingClientRect());
  const density = sides[0].width / boxes[0].width;
  sheet.width = Math.max(...boxes.map((box) => box.right - first.left)) * density;
  sheet.height = Math.max(...boxes.map((box) => box.bottom - first.top)) * density;
  const context = sheet.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, sheet.width, sheet.height);
  panes.forEach((pane, index) => {
    const [x, y] = [(boxes[index].left - first.left) * density, (boxes[index].top - first.top) * density];
    context.drawImage(sides[index], x, y);
    if (pane.slide.spacingUm) drawScale(context, pane, x, y + sides[index].height, density);
  });
  const name = panes.map((pane) => pane.slide.title).join(" and ").replace(/[^\p{L}\p{N} ._-]+/gu, "_");
  sheet.toBlob((blob) => offer(blob, `${name.slice(0, 80)}.png`));
}

function drawScale(context, pane, left, bottom, density) {
  const { pixels, text } = scaleBar(pane);
  const [width, edge, bar] = [pixels * density, EDGE * density, 3 * density];
  const box = { x: left + edge, y: bottom - edge - 34 * density, width: width + 2 * edge, height: 34 * density };
  context.fillStyle = "rgb(255 255 255 / 85%)";
  context.fillRect(box.x, box.y, box.width, box.height);
  context.fillStyle = "#1f1b2d";
  context.fillRect(box.x + edge, box.y + box.height - 9 * density, width, bar);
  context.font = `${13 * density}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.fillText(text, box.x + box.width / 2, box.y + 17 * density);
}

function offer(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
