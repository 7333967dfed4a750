// Why the server did not do what it was asked to, in its own words where it has some.

export function reason(status, text) {
  try {
    return JSON.parse(text).Message ?? `The server answered ${status}.`;
  } catch {
    return `The server answered ${status}.`;
  }
}

export async function reasonOf(answer) {
  return reason(answer.status, await answer.text());
}
