// Short notices at the foot of the page, and copying text.

export function say(text) {
  const notice = document.querySelector(".notice");
  notice.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (notice.textContent = ""), 4000);
}

// Whether the text is in the clipboard. Browsers give it away only to pages of this machine or that came encrypted.
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

// Makes every button that has an address in `data-copy` copy it.
export function copyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      say((await copyText(button.dataset.copy)) ? "The address of the manifest is copied" : button.dataset.copy);
    });
  }
}
