// Which IIIF image shows what was chosen of a slide, and that image as a tile source of OpenSeadragon.

import { reasonOf } from "../answers.js";

// Of a slide: its first plane, another one, or its channels laid over each other. Of other series: a frame.
export function imageOf(slide, chosen) {
  if (slide.frames) return `${slide.image}/${chosen.frame}`;
  if (slide.channels) return `${slide.image}:channels${chosen.focus > 1 ? `.${chosen.focus}` : ""}`;
  if (slide.paths.length > 1 || slide.focalPlanes > 1) return `${slide.image}:${chosen.path}.${chosen.focus}`;
  return slide.image;
}

export async function tileSource(image, query) {
  const address = `${image}/info.json`;
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(await reasonOf(answer));
  const { IIIFTileSource } = OpenSeadragon;
  const source = new IIIFTileSource(IIIFTileSource.prototype.configure(await answer.json(), address));
  if (query) {
    const plain = source.getTileUrl.bind(source);
    source.getTileUrl = (...place) => plain(...place) + query;
  }
  return source;
}
