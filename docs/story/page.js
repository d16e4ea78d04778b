/* The page: its stages, its address, and the first play of each picture. */

const stages = {};
let quiet = true;
let writtenAt = 0;
let waiting = 0;

/** Write a stage's state into the address, at most a few times a second. */
function remember(stage) {
  if (quiet || !stage.touched) return;
  clearTimeout(waiting);
  const write = () => {
    writtenAt = Date.now();
    history.replaceState(null, "", `#${stage.address()}`);
  };
  if (Date.now() - writtenAt > 300 && !stage.playing) write();
  else waiting = setTimeout(write, 300);
}

/** Show what the address asks for. */
function followAddress() {
  const [name, ...pairs] = location.hash.slice(1).split("&");
  const stage = stages[name];
  if (!stage) return;
  quiet = true;
  stage.started = true;
  stage.follow(pairs.map((pair) => pair.split("=")).filter((pair) => pair.length === 2));
  quiet = false;
  // A picture that was sent is shown itself, a chapter from its heading on.
  const fits = stage.host.offsetHeight < window.innerHeight;
  if (pairs.length > 0) stage.host.scrollIntoView({ block: fits ? "center" : "start", behavior: "instant" });
  else document.getElementById(name).scrollIntoView();
}

for (const host of document.querySelectorAll("[data-stage]")) stages[host.dataset.stage] = new Stage(host, remember);
for (const stage of Object.values(stages)) {
  stage.draw();
  for (const event of ["input", "click"]) stage.host.addEventListener(event, () => { stage.touched = true; }, true);
}
quiet = false;

// Each picture plays once when it comes into view, unless less motion is asked for or an address was followed.
const watching = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    const stage = stages[target.dataset.stage];
    if (!isIntersecting || stage.started) continue;
    stage.started = true;
    if (!REDUCED.matches) stage.play();
  }
}, { threshold: 0.6 });
for (const { host } of Object.values(stages)) watching.observe(host);

// The link of the chapter that is read.
const reading = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    const link = document.querySelector(`nav a[href="#${target.id}"]`);
    if (!link) continue;
    if (isIntersecting) {
      link.setAttribute("aria-current", "true");
      const list = link.closest("ol");
      list.scrollLeft = link.offsetLeft - (list.clientWidth - link.offsetWidth) / 2;
    } else link.removeAttribute("aria-current");
  }
}, { rootMargin: "-45% 0px -50% 0px" });
for (const section of document.querySelectorAll("section[id]")) reading.observe(section);

window.addEventListener("hashchange", followAddress);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const stage of Object.values(stages)) stage.draw();
});
followAddress();

/** For those who look from outside, and for the tests. */
window.story = { stages, simulate, law, overshoot, inertiaNumber, measuredOvershoot, complete, library, sentence };
