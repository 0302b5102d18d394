const at = id => document.getElementById(id);
let heard = Date.now();

function cell(row, name, text, style) {
  const td = row.insertCell();
  td.dataset.name = name;
  const span = td.appendChild(document.createElement("span"));
  span.textContent = text;
  if (style) span.className = style;
}

function ago(time) {
  const s = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
  return s < 120 ? `${s} s` : s < 7200 ? `${Math.floor(s / 60)} min` : s < 172800 ? `${Math.floor(s / 3600)} h`
    : `${Math.floor(s / 86400)} d`;
}

function since(router) {
  const times = router.instances.map(i => i.since).sort();
  return times.length ? ago(times[times.length - 1]) : "–";
}

function election(e) {
  return e.phase + e.uplinks_down.map(name => `, ${name} down`).join("") + (e.tried ? ", tried" : "") + (e.turns ? `, turn ${e.turns}` : "")
    + (e.lever ? `, standing ${e.standing}` : ", no lever");
}

function show(s) {
  document.title = `${s.node}: ${s.summary.MASTER} MASTER, ${s.summary.problems} problems`;
  at("node").textContent = s.node + (s.draining ? " (draining)" : "");
  at("summary").textContent = `${s.summary.routers} routers: `
    + ["MASTER", "BACKUP", "FAULT", "INIT", "STOPPED"].filter(k => s.summary[k])
      .map(k => `${s.summary[k]} ${k}`).join(", ") + ` · ${s.summary.problems} problems · havrrpd ${s.version}`;
  const body = document.createElement("tbody");
  body.id = "routers";
  for (const r of s.routers) {
    const row = body.insertRow();
    cell(row, "Router", r.namespace || r.router);
    cell(row, "State", r.state, r.state);
    cell(row, "Problems", r.problems.join(", ") || "none", r.problems.length ? "problem" : "");
    cell(row, "Since", since(r));
    cell(row, "Gateways", r.gateways.map(g => `${g.address} ${g.verdict}`).join(", ") || r.connectivity);
    cell(row, "Election", election(r.election));
  }
  for (const u of s.unprotected) {
    const row = body.insertRow();
    cell(row, "Router", u.namespace);
    cell(row, "State", "–");
    cell(row, "Problems", "not protected: no keepalived");
    for (const name of ["Since", "Gateways", "Election"]) cell(row, name, "–");
  }
  at("routers").replaceWith(body);
}

async function refresh() {
  try {
    const answer = await fetch("/status", { cache: "no-store", signal: AbortSignal.timeout(3000) });
    if (!answer.ok) throw new Error(answer.status);
    show(await answer.json());
    heard = Date.now();
    at("lost").hidden = true;
    document.body.classList.remove("stale");
  } catch {
    at("lost").textContent = `havrrpd does not answer. What stands below is ${Math.round((Date.now() - heard) / 1000)} s old.`;
    at("lost").hidden = false;
    document.body.classList.add("stale");
  }
  setTimeout(refresh, 1000);
}
refresh();
