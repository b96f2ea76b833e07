/** Elements, made in one line. */

type Child = Node | string | number | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | EventListener>;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Child | Child[])[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  append(element, children);
  return element;
}

export function append(element: Element, children: (Child | Child[])[]): void {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(typeof child === "number" ? String(child) : child);
  }
}

export function replace(element: Element, ...children: (Child | Child[])[]): void {
  element.replaceChildren();
  append(element, children);
}

/** The element with this id, which index.html has. */
export function byId(id: string): HTMLElement;
export function byId<T extends HTMLElement>(id: string, type: new () => T): T;
export function byId(id: string, type: new () => HTMLElement = HTMLElement): HTMLElement {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`index.html has no such #${id}`);
  return element;
}

export function copy(text: string): Promise<void> {
  return navigator.clipboard.writeText(text);
}

/** A button that copies, and says that it did. */
export function copyButton(label: string, text: () => string): HTMLButtonElement {
  const button = h("button", { type: "button", class: "small copy" }, label);
  button.addEventListener("click", () => {
    copy(text()).then(
      () => {
        button.dataset["done"] = "";
        announce("Copied.");
        setTimeout(() => delete button.dataset["done"], 1200);
      },
      () => {
        announce("The browser does not let this page copy.");
      },
    );
  });
  return button;
}

/** Says something to who listens instead of looking. */
export function announce(text: string): void {
  byId("announcements").textContent = text;
}
