// The panel of uploads under way and of jobs of the server.

import { reason, reasonOf } from "../answers.js";
import { say } from "../notices.js";

const EVERY_MS = 1000;
const WORDS = { Pending: "waiting", Success: "done", Failure: "failed", Cancelled: "cancelled" };
const ENDED = ["Success", "Failure", "Cancelled"];

export class Jobs {
  constructor(panel) {
    this.panel = panel;
    this.root = panel.dataset.root;
    this.rows = new Map();
    panel.querySelector("[data-do=hide-jobs]").addEventListener("click", () => (panel.hidden = true));
    this.refresh(true);
  }

  // A row for files that are still to be sent.
  upload(group) {
    const row = new Row(group.name);
    this.show(row);
    row.tell("waiting to be sent");
    row.send = () => (row.cancelled ? undefined : this.send(row, group.files));
    row.does("Cancel", () => {
      row.cancelled = true;
      row.request?.abort();
      row.remove();
    });
    return row;
  }

  show(row) {
    this.panel.querySelector("ul").prepend(row.item);
    this.panel.hidden = false;
  }

  send(row, files) {
    const body = new FormData();
    for (const { path, file } of files) body.append("file", file, path);
    const request = (row.request = new XMLHttpRequest()); // fetch does not tell how much it has sent
    return new Promise((resolve) => {
      request.upload.addEventListener("progress", ({ loaded, total }) => {
        row.tell(`sending, ${Math.floor((100 * loaded) / total)} %`, loaded / total);
      });
      request.addEventListener("load", () => {
        if (request.status === 202) {
          const job = JSON.parse(request.responseText);
          this.rows.set(job.ID, row);
          this.update(job);
          this.poll();
        } else row.fail(reason(request.status, request.responseText));
      });
      request.addEventListener("error", () => row.fail("The connection to the server broke."));
      request.addEventListener("loadend", resolve);
      request.open("POST", `${this.root}/uploads?pyramid=1`);
      request.send(body);
    });
  }

  // At first only jobs that are under way are shown; those that end while somebody looks stay.
  async refresh(first) {
    const answer = await ask(`${this.root}/jobs?expand`);
    if (!answer) {
      this.poll(first);
      return;
    }
    if (!answer.ok) {
      if (!first) say(await reasonOf(answer));
      return;
    }
    const jobs = await answer.json();
    for (const job of [...jobs].reverse()) {
      if (this.rows.has(job.ID) || !ENDED.includes(job.State)) this.update(job);
    }
    if (jobs.some(({ State }) => !ENDED.includes(State))) this.poll();
    else if (!first) this.showNew();
  }

  // What there is now, in place of what there was.
  async showNew() {
    const answer = await ask(location.href);
    if (!answer?.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
    say("All uploads are done");
  }

  poll(first = false) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(first), EVERY_MS);
  }

  update(job) {
    let row = this.rows.get(job.ID);
    if (!row) {
      row = new Row(job.Content.Name);
      this.rows.set(job.ID, row);
      this.show(row);
    }
    const running = job.State === "Running";
    row.item.className = job.State.toLowerCase();
    const words = running ? `converting, ${Math.floor(job.Progress)} %` : WORDS[job.State];
    row.tell(job.State === "Failure" ? job.ErrorDescription : words, running ? job.Progress / 100 : undefined);
    const [series] = job.Content.Series;
    if (series && ENDED.includes(job.State)) row.leads(`${this.root}/viewer/${series}`);
    else if (ENDED.includes(job.State)) row.does("Remove from this list", () => row.remove());
    else row.does("Cancel", () => this.cancel(job.ID));
  }

  async cancel(id) {
    const answer = await ask(`${this.root}/jobs/${id}`, { method: "DELETE" });
    if (!answer) say("The server cannot be reached now");
    else if (!answer.ok) say(await reasonOf(answer));
    else if (answer.status === 204) this.rows.get(id).remove(); // it had ended before, and is forgotten
    this.poll();
  }
}

class Row {
  constructor(name) {
    this.item = document.querySelector("#job-row").content.firstElementChild.cloneNode(true);
    this.part("name").textContent = name;
    this.part("name").title = name;
  }

  part(name) {
    return this.item.querySelector(`.${name}`);
  }

  tell(words, share) {
    this.part("state").textContent = words;
    const bar = this.item.querySelector("progress");
    bar.hidden = share === undefined;
    if (share !== undefined) bar.value = share;
  }

  fail(words) {
    this.item.className = "failure";
    this.tell(words);
    this.does("Remove from this list", () => this.remove());
  }

  does(label, act) {
    const button = this.item.querySelector("button");
    button.hidden = false;
    button.ariaLabel = button.title = label;
    button.onclick = act;
    this.item.querySelector("a").hidden = true;
  }

  leads(address) {
    this.item.querySelector("button").hidden = true;
    const link = this.item.querySelector("a");
    link.hidden = false;
    link.href = address;
  }

  remove() {
    this.item.remove();
  }
}

// The answer; null when the connection broke, or the server cannot answer now.
async function ask(address, options) {
  const answer = await fetch(address, options).catch(() => null);
  return answer && answer.status < 500 ? answer : null;
}
