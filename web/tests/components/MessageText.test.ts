// @vitest-environment happy-dom
import { expect, test } from "vitest";
import { nextTick } from "vue";
import MessageText from "../../src/components/MessageText";
import { bodyText } from "../../src/realtime/body";
import { mount } from "./mount";

function show(body: unknown): HTMLElement {
  return mount(MessageText, { body }).root.firstElementChild as HTMLElement;
}

test.each(['<img src=x onerror="alert(1)">', "<script>alert(1)</script>", "</p><b>bold</b>", "&lt;b&gt;"])(
  "%s is shown, not run",
  (body) => {
    const shown = show(body);
    expect(shown.textContent).toBe(body);
    expect(shown.children).toHaveLength(0);
  },
);

test("links open without a way back to the page", () => {
  const shown = show('see https://a.example/x"onclick=alert(1) now');
  const [link] = shown.querySelectorAll("a");
  expect(link?.getAttribute("href")).toBe("https://a.example/x");
  expect(link?.getAttribute("rel")).toBe("noopener noreferrer");
  expect(shown.textContent).toBe('see https://a.example/x"onclick=alert(1) now');
  expect(show("javascript:alert(1)").querySelector("a")).toBeNull();
});

test("a link shows the address, whatever it was written like", () => {
  const shown = show("https://\u0430pple.example/ and https://bank.example@evil.example");
  const [link, ...others] = shown.querySelectorAll("a");
  expect(link?.textContent).toBe("https://xn--pple-43d.example/");
  expect(link?.getAttribute("href")).toBe("https://xn--pple-43d.example/");
  expect(others).toEqual([]);
});

test("what hides in a text is shown, and turns nothing else", () => {
  const body = "a\u202egpj.exe";
  const shown = show(body);
  expect(shown.textContent).toBe(body);
  const [mark] = shown.children;
  expect(shown.children).toHaveLength(1);
  expect([mark?.tagName, mark?.textContent, mark?.getAttribute("data-mark")]).toEqual(["BDI", "\u202e", "U+202E"]);
});

test("a huge text is shown in whole on demand", async () => {
  for (const body of ["x".repeat(1_000_000), { text: "x".repeat(1_000_000) }]) {
    const shown = show(body);
    const more = shown.querySelector<HTMLButtonElement>('[data-testid="more-button"]');
    expect(shown.textContent!.length).toBeLessThan(10_100);
    expect(more?.textContent).toContain("Show all");
    more!.click();
    await nextTick();
    expect(shown.textContent).toBe(bodyText(body));
    expect(shown.querySelector("button")).toBeNull();
  }
});

test("JSON and bytes stand for themselves and are never links", () => {
  expect(show({ url: "https://a.example" }).outerHTML).toBe('<code class="text" dir="auto">{"url":"https://a.example"}</code>');
  expect(show(new ArrayBuffer(3)).textContent).toBe("[3 bytes]");
  expect(show(null).textContent).toBe("null");
});
