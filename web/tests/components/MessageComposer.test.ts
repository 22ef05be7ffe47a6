// @vitest-environment happy-dom
import { nextTick } from "vue";
import { expect, test, vi } from "vitest";
import MessageComposer from "../../src/components/MessageComposer.vue";
import { message } from "../support";
import { mount, type } from "./mount";

function compose(accepts = true, mayPost = true, more: Record<string, unknown> = {}) {
  const post = vi.fn(() => accepts);
  const onTyped = vi.fn();
  const given = { mayPost, full: false, live: true, answers: null, people: [], me: "u-me", post, onTyped };
  const page = mount(MessageComposer, { ...given, ...more });
  const field = page.find<HTMLTextAreaElement>("composer");
  const enter = async (init: KeyboardEventInit = {}): Promise<KeyboardEvent> => {
    const event = new KeyboardEvent("keydown", { key: "Enter", cancelable: true, bubbles: true, ...init });
    field.dispatchEvent(event);
    await nextTick();
    return event;
  };
  return { page, post, onTyped, field, enter };
}

test("Enter sends and empties the field", async () => {
  const { post, field, enter, onTyped } = compose();
  await type(field, "hi  \n");
  expect(onTyped).toHaveBeenCalledWith("hi  \n");
  await enter();
  expect(post).toHaveBeenCalledExactlyOnceWith("hi", []);
  expect(field.value).toBe("");
});

test("Shift+Enter is a new line, and Enter of an input method chooses a word", async () => {
  const { post, field, enter } = compose();
  await type(field, "hi");
  expect((await enter({ shiftKey: true })).defaultPrevented).toBe(false);
  await enter({ isComposing: true });
  expect(post).not.toHaveBeenCalled();
});

test("nothing is not sent", async () => {
  const { page, post, field, enter } = compose();
  await type(field, " \n ");
  await enter();
  expect(post).not.toHaveBeenCalled();
  expect(page.find<HTMLButtonElement>("send-button").disabled).toBe(true);
});

test("who may not post is told so, friendly", () => {
  const { page, field } = compose(true, false);
  expect(field.disabled).toBe(true);
  expect(field.placeholder).toBe("You can read this room, but not write in it.");
  expect(page.find<HTMLButtonElement>("send-button").disabled).toBe(true);
});

test("what could not be taken stays in the field", async () => {
  const { field, enter } = compose(false);
  await type(field, "precious");
  await enter();
  expect(field.value).toBe("precious");
});

test("what is being answered is shown, and can be forgotten", async () => {
  const onForget = vi.fn();
  const { page, enter } = compose(true, true, { answers: message(3, { body: "the question" }), onForget });
  expect(page.find("quote").textContent).toContain("the question");
  page.find("forget-button").click();
  await enter({ key: "Escape" });
  expect(onForget).toHaveBeenCalledTimes(2);
});

test("names are completed behind an @, by the keyboard and the pointer, and sent with the text", async () => {
  const people = ["Ada", "Adam", "Bo"].map((name) => ({ id: `u-${name}`, name }));
  const [onMeet, onForget] = [vi.fn(), vi.fn()];
  const { page, post, field, enter } = compose(true, true, { people, onMeet, onForget });
  const write = (text: string): Promise<void> => {
    field.value = text;
    field.setSelectionRange(text.length, text.length);
    return type(field, text);
  };
  const choices = (): string[] => page.all("name-choice").map((choice) => choice.querySelector(".name")!.textContent!);
  await write("hi @a");
  expect([choices(), onMeet.mock.calls.length]).toEqual([["Ada", "Adam"], 1]);
  expect(field.getAttribute("aria-activedescendant")).toBe("name-0");
  await enter({ key: "ArrowDown" });
  expect(page.all("name-choice").map((choice) => choice.getAttribute("aria-selected"))).toEqual(["false", "true"]);
  await enter();
  await vi.waitFor(() => expect(field.value).toBe("hi @Adam "));
  expect([choices(), post.mock.calls]).toEqual([[], []]);
  await write("hi @Adam and @b");
  page.find("name-choice").click();
  await vi.waitFor(() => expect(field.value).toBe("hi @Adam and @Bo "));
  await enter();
  expect(post).toHaveBeenCalledExactlyOnceWith("hi @Adam and @Bo", ["u-Adam", "u-Bo"]);
  await write("@");
  expect(choices()).toHaveLength(3);
  await enter({ key: "Escape" });
  expect([choices(), onForget.mock.calls]).toEqual([[], []]);
  expect(field.hasAttribute("aria-activedescendant")).toBe(false);
});
