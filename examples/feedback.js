// Feedback from a web page: thumbs, corrections, and what people did with an answer.
//
//   const say = feedbackTo("https://your-server/feedback");   // your own route, which adds the key and passes it on
//   say({ trace_id: answer.id, thumb: "down", correction: "391" });
//   say({ trace_id: answer.id, signal: "copied" });
//
// Each piece gets an id, so that sending it again after a lost answer writes it once. What could not be sent waits in
// localStorage and goes with the next piece, or when the page is opened again.

const KEPT = "sharpen-feedback";

export function feedbackTo(url, { fetch = globalThis.fetch, storage = globalThis.localStorage } = {}) {
  let sending = Promise.resolve();

  const read = () => JSON.parse(storage.getItem(KEPT) ?? "[]");
  const write = (waiting) => storage.setItem(KEPT, JSON.stringify(waiting));

  async function send() {
    for (const said of read()) {
      let answer;
      try {
        answer = await fetch(url, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(said),
          keepalive: true, // goes on when the page is left
        });
      } catch {
        return; // no network: next time
      }
      if (answer.status === 429 || answer.status >= 500) return; // busy: next time
      if (!answer.ok) console.error("feedback was refused:", await answer.text());
      write(read().filter((one) => one.id !== said.id));
    }
  }

  return function say(said) {
    write([...read(), { id: crypto.randomUUID(), ...said }]);
    sending = sending.then(send);
    return sending;
  };
}
