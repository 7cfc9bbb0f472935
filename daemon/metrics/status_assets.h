// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: the columns, the style and the script of the page for people. The script fills the same cells
// as status.cc; it puts text into them as text, so that a group's name can do no harm.
#pragma once

#include <string_view>

namespace cgx::daemon {

struct StatusColumn {
  std::string_view key;  // of the script's sorting
  std::string_view title;
  std::string_view help;
  bool live = false;  // only with the script
};
inline constexpr StatusColumn status_columns[] = {
    {"name", "Group", "Path from the root"},
    {"cpu", "CPU", "CPU time used a second, in percent of one CPU", true},
    {"cpu_usec", "CPU time", "CPU time used since the group was made"},
    {"cpu_limit_millionths", "CPU limit", "CPUs that the quota gives"},
    {"throttled_usec", "Throttled", "Time for which the quota held the group back"},
    {"memory", "Memory", "Memory in use, caches included"},
    {"memory_limit", "Memory limit", "Most memory, and how much of it is used"},
    {"tasks", "Tasks", "Processes and threads"},
    {"tasks_limit", "Task limit", "Most processes and threads, and how much of it is used"},
    {"oom_kills", "OOM kills", "Processes killed because memory ran out"},
};

inline constexpr std::string_view status_style = R"css(:root { color-scheme: light dark;
  --back: #fff; --text: #1b1f24; --soft: #57606a; --line: #d0d7de; --head: #f6f8fa; --bad: #b3261e; --link: #0757ba; }
@media (prefers-color-scheme: dark) { :root {
  --back: #14181d; --text: #e6edf3; --soft: #9da7b3; --line: #343b44; --head: #1e242b; --bad: #ff8a80; --link: #7db4ff; } }
body { margin: 1.5rem; background: var(--back); color: var(--text); font: 16px/1.45 system-ui, sans-serif; }
h1 { margin: 0 0 .3rem; font-size: 1.5rem; }
header p, footer p, caption { margin: .15rem 0; color: var(--soft); }
a { color: var(--link); }
.bad, header p.bad { color: var(--bad); }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .3rem 0; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
thead th { background: var(--head); font-weight: 600; }
th:first-child { text-align: left; } tbody th { font-weight: 500; overflow-wrap: anywhere; }
tbody tr:hover { background: var(--head); }
meter { width: 4.5rem; height: .8rem; vertical-align: middle; }
th button { all: unset; cursor: pointer; }
th button:focus-visible, .scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
th[aria-sort=ascending] button::after { content: " \25B2"; }
th[aria-sort=descending] button::after { content: " \25BC"; }
html:not(.js) .live { display: none; }
input { font: inherit; color: inherit; background: var(--back); border: 1px solid var(--soft); border-radius: 4px; padding: .15rem .4rem; }
)css";

inline constexpr std::string_view status_script = R"js('use strict';
document.documentElement.classList.add('js');
const state = document.getElementById('state'), filter = document.getElementById('filter');
const caption = document.getElementById('caption'), body = document.querySelector('tbody');
document.getElementById('tools').hidden = false;
let before = new Map(), when = 0, shown = [], sort = null, up = true;
const size = n => { if (n == null) return ''; if (n < 1024) return String(n); let u = -1;
  do { n /= 1024; u++; } while (n >= 1024 && u < 5); return n.toFixed(1) + 'KMGTPE'[u]; };
const time = u => { if (u == null) return ''; const s = Math.floor(u / 1e6), two = n => String(n).padStart(2, '0');
  return s >= 3600 ? `${Math.floor(s / 3600)}h ${two(Math.floor(s / 60) % 60)}m` :
    s >= 60 ? `${Math.floor(s / 60)}m ${two(s % 60)}s` : (u / 1e6).toFixed(1) + 's'; };
const count = n => n == null ? '' : String(n);
function cell(row, tag, text) {
  const c = row.appendChild(document.createElement(tag)); c.textContent = text; return c; }
function gauge(row, used, limit, text) {
  const c = cell(row, 'td', text);
  if (used == null || !limit) return;
  const percent = Math.min(100, Math.floor(used * 100 / limit)), m = document.createElement('meter');
  Object.assign(m, { min: 0, max: 100, high: 90, optimum: 0, value: percent, title: percent + '% used' });
  m.textContent = percent + '%'; c.append(' ', m); }
function draw() {
  const word = filter.value.toLowerCase(), list = shown.filter(g => g.name.toLowerCase().includes(word));
  if (sort) list.sort((a, b) => { const x = a[sort], y = b[sort];
    const order = sort === 'name' ? x.localeCompare(y) : (x ?? -1) - (y ?? -1); return up ? order : -order; });
  const rows = document.createDocumentFragment();
  for (const g of list) {
    const r = rows.appendChild(document.createElement('tr'));
    cell(r, 'th', g.name).scope = 'row';
    cell(r, 'td', g.cpu == null ? '' : g.cpu.toFixed(1) + '%').className = 'live';
    cell(r, 'td', time(g.cpu_usec));
    cell(r, 'td', g.cpu_limit_millionths == null ? '' : (g.cpu_limit_millionths / 1e6).toFixed(2));
    cell(r, 'td', time(g.throttled_usec)); cell(r, 'td', size(g.memory));
    gauge(r, g.memory, g.memory_limit, size(g.memory_limit)); cell(r, 'td', count(g.tasks));
    gauge(r, g.tasks, g.tasks_limit, count(g.tasks_limit)); cell(r, 'td', count(g.oom_kills)); }
  body.replaceChildren(rows); }
for (const th of document.querySelectorAll('thead th')) {
  const b = document.createElement('button'); b.type = 'button'; b.textContent = th.textContent; th.replaceChildren(b);
  b.addEventListener('click', () => {
    up = sort === th.dataset.key ? !up : th.dataset.key === 'name'; sort = th.dataset.key;
    for (const other of document.querySelectorAll('thead th')) other.removeAttribute('aria-sort');
    th.setAttribute('aria-sort', up ? 'ascending' : 'descending'); draw(); }); }
filter.addEventListener('input', draw);
async function poll() {
  let wait = 2000;
  if (!document.hidden) try {
    const answer = await fetch('status.json', { cache: 'no-store' });
    if (!answer.ok) throw new Error('status ' + answer.status);
    const now = await answer.json(), passed = (now.time_msec - when) * 1000, next = new Map();
    for (const g of now.groups) {
      const old = before.get(g.name);
      if (old != null && passed > 0 && g.cpu_usec >= old) g.cpu = (g.cpu_usec - old) * 100 / passed;
      next.set(g.name, g.cpu_usec); }
    if (passed !== 0) { if (now.time_msec !== when) shown = now.groups; before = next; when = now.time_msec; }
    caption.textContent = now.summary; draw();
    const text = 'Live'; if (state.textContent !== text) state.textContent = text; state.classList.remove('bad');
  } catch (error) {
    state.textContent = 'No connection to cgxd (' + error.message + '); what is shown is old'; state.classList.add('bad');
    wait = 5000; }
  setTimeout(poll, wait); }
setTimeout(poll, 0);
)js";

}  // namespace cgx::daemon
