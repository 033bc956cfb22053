"use strict";
// A Play button beside every slider over time.

function addPlay(slides) {
  const slider = slides.querySelector("input[type=range]");
  if (Number(slider.max) < 1 || slides.querySelector(".play")) return;
  const button = make("button", { type: "button", className: "button play" }, "Play");
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  };
  const show = (position) => {
    slider.value = String(position);
    slider.dispatchEvent(new Event("input"));
  };
  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    if (slider.value === slider.max) show(0);
    button.textContent = "Pause";
    timer = setInterval(() => {
      if (slider.value === slider.max) return stop();
      show(Number(slider.value) + 1);
    }, 350);
  });
  // A hand on the slider stops the film; events of the film itself are not trusted ones.
  slider.addEventListener("input", (event) => { if (event.isTrusted && timer !== null) stop(); });
  slides.append(button);
}

const addPlays = () => document.querySelectorAll(".slides").forEach(addPlay);
addPlays();
document.addEventListener("renewed", addPlays);
