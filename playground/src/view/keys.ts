/** The keys, on a page of their own. */
import { h, replace } from "../dom.ts";

const KEYS: readonly (readonly [string[], string])[] = [
  [["↑", "↓"], "the message before, the next one"],
  [["Page Up", "Page Down"], "a page of messages"],
  [["Home", "End"], "the first message, the last one"],
  [["/"], "to the filter; Esc empties it, Enter goes to the list"],
  [["Tab"], "to the next part of the page"],
  [["←", "→"], "in the time line: transactions; in the tabs: tabs"],
  [["+", "−"], "in the time line: more detail, less"],
  [
    ["↑", "↓"],
    "in the fields: the field before, the next one; on the bar between the panes: its place",
  ],
  [["?"], "this page"],
];

export function setUpKeys(dialog: HTMLDialogElement, button: HTMLElement): void {
  const close = h("button", { type: "button" }, "Close");
  replace(
    dialog,
    h("h2", { id: "keys-title" }, "Keys"),
    h(
      "dl",
      {},
      KEYS.map(([keys, what]) => [
        h(
          "dt",
          {},
          keys.map((key) => h("kbd", {}, key)),
        ),
        h("dd", {}, what),
      ]).flat(),
    ),
    h(
      "p",
      { class: "help" },
      "In the filter, words must all fit: part of a table's name or of an operation, an xid, the beginning of an LSN. ",
      h("code", {}, "table:"),
      " ",
      h("code", {}, "op:"),
      " ",
      h("code", {}, "xid:"),
      " ",
      h("code", {}, "lsn:"),
      " say which is meant; a minus in front turns a word round.",
    ),
    close,
  );
  close.addEventListener("click", () => {
    dialog.close();
  });
  const show = () => {
    if (!dialog.open) dialog.showModal();
  };
  button.addEventListener("click", show);
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    const typing = target instanceof Element && target.matches("input, textarea");
    if (event.key === "?" && !typing) show();
  });
}
