// Sections that hold every word of ?q=, those with the words in their heading first.
const words = (new URLSearchParams(location.search).get("q") || "").toLowerCase().match(/\S+/g) || [];
const field = document.querySelector("input[type=search]");
field.value = words.join(" ");
const count = (text, word) => text.toLowerCase().split(word).length - 1;
const scored = SECTIONS.map(section => {
  const [, title, heading, text] = section;
  const each = words.map(w => 20 * count(heading, w) + 5 * count(title, w) + Math.min(count(text, w), 10));
  return [each.every(Boolean) ? each.reduce((a, b) => a + b, 0) : 0, section];
}).filter(([score]) => score > 0).sort((a, b) => b[0] - a[0]).slice(0, 50);
if (words.length) {
  document.getElementById("count").textContent =
    scored.length ? `${scored.length} sections hold “${field.value}”.` : `Nothing holds “${field.value}”.`;
}
for (const [, [address, title, heading, text]] of scored) {
  const item = document.createElement("li"), link = document.createElement("a"), note = document.createElement("p");
  link.href = address;
  link.textContent = heading === title ? title : `${heading} (${title})`;
  const from = Math.max(0, text.toLowerCase().indexOf(words[0]) - 60);
  note.className = "note";
  note.textContent = (from ? "…" : "") + text.slice(from, from + 180).trim() + "…";
  item.append(link, note);
  document.getElementById("hits").append(item);
}
