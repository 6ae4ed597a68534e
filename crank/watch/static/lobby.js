// The index page: live matches, recordings of the folder, the ladder's table.

import { make } from "./hud.js";

function section(title, note) {
  const root = make("section", "shelf");
  root.append(make("h2", "", title));
  if (note) root.append(make("p", "note", note));
  return root;
}

function size(bytes) {
  return bytes > 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(bytes / 1e3))} KB`;
}

export async function lobby(root) {
  const answer = await fetch("api/list");
  if (!answer.ok) throw new Error(await sentence(answer));
  const found = await answer.json();
  const shelves = make("div", "shelves");
  const now = make("div", "now");
  const live = section("Live", found.live ? "" : "Nothing is being played. awm serve --world WORLD starts a match.");
  if (found.live) {
    const link = make("a", "entry live-entry");
    link.href = found.beside ? "?live&beside" : "?live";
    link.append(make("b", "", "On air"), make("span", "", found.live));
    live.append(link);
  }

  const play = section("Play");
  const controller = make("a", "entry play-entry");
  controller.href = "?play";
  controller.append(make("b", "", "Take a controller"), make("span", "", "in this page"));
  play.append(controller);
  now.append(live, play);
  shelves.append(now);

  const recorded = section("Recorded", found.matches.length ? "" : "No recordings here. awm play writes one: match.json.");
  const picked = new Set();
  const compare = make("a", "compare", "Choose two to watch side by side");
  for (const match of found.matches) {
    const row = make("div", "entry");
    const link = make("a");
    link.href = `?match=${encodeURIComponent(match.name)}`;
    link.append(make("b", "", match.name), make("span", "", size(match.bytes)));
    const pick = make("button", "pick", "Pair");
    pick.type = "button";
    pick.setAttribute("aria-pressed", "false");
    pick.addEventListener("click", () => {
      if (!picked.delete(match.name)) picked.add(match.name);
      pick.setAttribute("aria-pressed", String(picked.has(match.name)));
      const two = [...picked].slice(-2);
      compare.textContent = two.length === 2 ? "Watch the pair" : "Choose two to watch side by side";
      if (two.length === 2) compare.href = `?${two.map((n) => `match=${encodeURIComponent(n)}`).join("&")}`;
      else compare.removeAttribute("href");
    });
    row.append(link, pick);
    recorded.append(row);
  }
  if (found.matches.length > 1) recorded.append(compare);
  shelves.append(recorded);

  const ladder = section("Ladder", found.ladder.length ? "" : "No table of awm ladder in this folder.");
  ladder.classList.add("ladder");
  if (found.ladder.length) {
    const table = make("table");
    const head = make("tr");
    const names = Object.keys(found.ladder[0]);
    head.append(...names.map((n) => make("th", "", n)));
    table.append(head);
    for (const agent of found.ladder) {
      const row = make("tr");
      row.append(...names.map((n) => make("td", "", String(agent[n] ?? ""))));
      table.append(row);
    }
    ladder.append(table);
  }
  shelves.append(ladder);
  root.append(shelves);
  return shelves;
}

export async function sentence(answer) {
  try { return (await answer.json()).error ?? answer.statusText; } catch { return answer.statusText || "the server gave no answer"; }
}
