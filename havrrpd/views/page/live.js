// The one connection to havrrpd: events as they come, lists when it opens and from time to time.
//
// `hear` has a method for each thing that can be heard: status, history, node, router,
// router_removed, transition (each with its document), unwell(stalled sources), sign() of any life,
// connection(isLive).

const BEAT = 2000; // ms between signs of life, and how long one may take
const RETRY = 1000;
const RELIST = 10000; // ms between lists at least, and this many for each router:
const RELIST_OF_EACH = 50;
const EVENTS = ["node", "router", "router_removed", "transition"];
export const HISTORY = 1000; // transitions that are asked for

/** Goes on for ever. Returns `listAgain`, for what no event tells. */
export function follow(hear) {
  let source = null, live = false, routers = 0;
  let since = null; // while a list is under way: the events since it was asked for

  function connect() {
    const opened = source = new EventSource("events");
    opened.onopen = listAll;
    opened.onerror = () => lose(opened);
    for (const name of EVENTS) opened.addEventListener(name, event => take(opened, name, JSON.parse(event.data)));
  }

  function take(from, name, document) {
    if (from !== source) return;
    since?.push([name, document]);
    hear.sign();
    if (live) hear[name](document);
  }

  /** What an event told since is newer than what the list says: it is told again. */
  async function list(paths) {
    const from = source;
    since = [];
    const [status, history] = await Promise.all(paths.map(read));
    if (from !== source) return;
    hear.sign();
    hear.status(status);
    if (history) hear.history(history);
    for (const [name, document] of since) hear[name](document);
    since = null;
    routers = status.routers.length;
    if (!live) hear.connection(live = true);
  }

  async function listAll() {
    const from = source;
    try {
      await list(["status", `history?limit=${HISTORY}`]);
    } catch {
      lose(from);
    }
  }

  async function listAgain() {
    const from = source;
    try {
      if (live && !document.hidden) await list(["status"]);
    } catch {
      lose(from);
    }
  }

  async function listOften() {
    await listAgain();
    setTimeout(listOften, Math.max(RELIST, routers * RELIST_OF_EACH));
  }

  /** A connection can be dead and say nothing, and havrrpd can be deaf and answer. */
  async function beat() {
    const from = source;
    try {
      if (live) {
        const answer = await ask("-/healthy", BEAT);
        const health = answer.ok || answer.status === 503 ? await answer.json() : {};
        if (from === source) hear.sign();
        if (from === source && health.stalled) hear.unwell(health.stalled);
      }
    } catch {
      lose(from);
    }
    setTimeout(beat, BEAT);
  }

  function lose(from) {
    if (from !== source || !source) return;
    source.close();
    source = null;
    live = false;
    hear.connection(false);
    setTimeout(connect, RETRY);
  }

  connect();
  beat();
  setTimeout(listOften, RELIST);
  return { listAgain };
}

/** GET a document, by its path beside the page; throws when there is none, with `status` when havrrpd answered. */
export async function read(path) {
  const answer = await ask(path, 10000);
  if (!answer.ok) throw Object.assign(new Error(`${path}: ${answer.status}`), { status: answer.status });
  return answer.json();
}

let ahead = 0;

/** How many ms the node's clock is ahead of this one; 0 when it is about the same. */
export function clockAhead() {
  return ahead;
}

async function ask(path, timeout) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(timeout) });
  // The header has whole seconds: anything below two is no difference.
  const difference = Date.parse(answer.headers.get("Date")) + 500 - Date.now();
  ahead = Math.abs(difference) > 2000 ? difference : 0;
  return answer;
}
