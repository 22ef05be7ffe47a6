// @vitest-environment happy-dom
import { expect, test } from "vitest";
import MessageText from "../../src/components/MessageText";
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

test("JSON and bytes stand for themselves and are never links", () => {
  expect(show({ url: "https://a.example" }).outerHTML).toBe('<code class="text" dir="auto">{"url":"https://a.example"}</code>');
  expect(show(new ArrayBuffer(3)).textContent).toBe("[3 bytes]");
  expect(show(null).textContent).toBe("null");
});
