// What to play: a panel over the idle screen, and the panel after a match.

import { make } from "./hud.js";
import { characterName } from "./track.js";
import { CONTROLS } from "./input.js";

const LEGAL = 27; // characters that people choose among; the others are parts and enemies
const PREFERRED = { stage: 31, you: 1, rival: 22, agent: "falco" };
const SCRIPTED_AGENTS = [["random", "Random buttons"], ["hold-forward", "Walks on"], ["noop", "Stands still"]];

function select(name, label, options, chosen) {
  const root = make("label", "field");
  const box = make("select");
  box.name = name;
  for (const [value, text] of options) {
    const option = make("option", "", text);
    option.value = String(value);
    option.selected = String(value) === String(chosen);
    box.append(option);
  }
  root.append(make("span", "", label), box);
  return root;
}

export function controlsLine() {
  const line = make("p", "controls");
  for (const [key, text] of CONTROLS) {
    const pair = make("span");
    pair.append(make("kbd", "", key), document.createTextNode(` ${text}`));
    line.append(pair);
  }
  return line;
}

// A form; `start({seat, characters, stage, agent, trained})` is called when it is sent.
export function setupPanel(cartridge, start, before = {}) {
  const form = make("form", "setup");
  form.setAttribute("aria-label", "Play");
  const cast = Array.from({ length: Math.min(LEGAL, cartridge.vocabularies.character) }, (_, id) => [id, characterName(id)])
    .filter(([id, name]) => name !== `Character ${id}`).sort((a, b) => a[1].localeCompare(b[1]));
  const policies = Object.keys(cartridge.policies);
  const agents = [...policies.map((name) => [name, `Trained: ${name}`]), ...SCRIPTED_AGENTS];
  const fit = (key, options, fallback) => before[key] ?? (options.some(([v]) => v === PREFERRED[fallback ?? key]) ? PREFERRED[fallback ?? key] : options[0][0]);
  const stages = cartridge.stages.map((s) => [s.id, s.name]);
  const fields = make("div", "fields");
  fields.append(
    select("you", "You are", cast, fit("you", cast)), select("rival", "Against", cast, fit("rival", cast)),
    select("agent", "Played by", agents, fit("agent", agents)), select("stage", "On", stages, fit("stage", stages)),
    select("seat", "You start", [[0, "Left, P1"], [1, "Right, P2"]], before.seat ?? 0),
  );
  const go = make("button", "go", "Fight");
  go.type = "submit";
  form.append(make("h1", "", "Take a controller"), fields, go, controlsLine(), make("p", "note", "Keyboard, gamepad or fingers. Your browser computes every frame; nothing is sent anywhere."));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = (name) => form.elements.namedItem(name).value;
    const [seat, you, rival, stage] = ["seat", "you", "rival", "stage"].map((name) => Number(value(name)));
    const agent = value("agent");
    start({ seat, you, rival, stage, agent, characters: seat === 0 ? [you, rival] : [rival, you], trained: policies.includes(agent) });
  });
  return form;
}

// After a match: save it, once more, another. `acts` has save, again, change.
export function afterPanel(acts) {
  const root = make("div", "after");
  for (const [name, text] of [["save", "Save match"], ["again", "Again"], ["change", "Change"]]) {
    const button = make("button", name, text);
    button.type = "button";
    button.addEventListener("click", acts[name]);
    root.append(button);
  }
  return root;
}
