// What was dropped, as files with their paths, and which of them belong into one upload.

// All files of a drop, those in folders too.
export async function gathered(dataTransfer) {
  // Entries have to be asked for at once: the drop is over with the first pause.
  const files = [...dataTransfer.items].filter(({ kind }) => kind === "file");
  const entries = files.map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
  return (await Promise.all(entries.map(filesOf))).flat();
}

async function filesOf(entry) {
  if (entry instanceof File) return [{ path: entry.name, file: entry }]; // made by a program, on no disk
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ path: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(filesOf))).flat();
}

// A folder is one upload, together with a file of its name beside it (MRXS, VSI); so are all loose DICOM files. Every
// other file is one of its own.
export function grouped(files) {
  const groups = new Map();
  const folders = new Set(files.filter(({ path }) => path.includes("/")).map(({ path }) => path.split("/")[0]));
  for (const file of files) {
    const [top] = file.path.split("/");
    const stem = top.replace(/\.[^.]*$/, "");
    const folder = folders.has(top) ? top : [stem, `_${stem}_`].find((name) => folders.has(name));
    const key = folder ?? (isDicom(top) ? "DICOM files" : top);
    groups.set(key, [...(groups.get(key) ?? []), file]);
  }
  return [...groups].map(([name, members]) => ({ name: members.length === 1 ? members[0].path : name, files: members }));
}

function isDicom(name) {
  return /\.(dcm|dicom)$/i.test(name) || !name.includes(".");
}
