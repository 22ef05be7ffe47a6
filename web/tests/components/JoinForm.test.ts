// @vitest-environment happy-dom
import { nextTick } from "vue";
import { expect, test, vi } from "vitest";
import JoinForm from "../../src/components/JoinForm.vue";
import { mount, type } from "./mount";

function form(props: Record<string, unknown> = {}) {
  const onJoin = vi.fn();
  const page = mount(JoinForm, { name: "", room: "lobby", hasToken: false, refusal: null, onJoin, ...props });
  const submit = async (): Promise<void> => {
    page.root.querySelector("form")!.dispatchEvent(new Event("submit", { cancelable: true }));
    await nextTick();
  };
  return { page, onJoin, submit };
}

test("joins with a name and a room", async () => {
  const { page, onJoin, submit } = form();
  await type(page.find("name-input"), " Ada ");
  await type(page.find("room-input"), "/tea");
  await submit();
  expect(onJoin).toHaveBeenCalledExactlyOnceWith("tea", "Ada");
});

test.each([
  ["", "lobby", "name-input"],
  ["Ada", "two words", "room-input"],
])("a fault is said and tied to its field: %o %o", async (name, room, field) => {
  const { page, onJoin, submit } = form({ name, room });
  await submit();
  expect(onJoin).not.toHaveBeenCalled();
  const input = page.find(field);
  expect(input.getAttribute("aria-invalid")).toBe("true");
  expect(page.root.querySelector(`#${input.getAttribute("aria-describedby")}`)?.textContent).not.toBe("");
});

test("a token needs no name, and can be put away", async () => {
  const onDropToken = vi.fn();
  const { page, onJoin, submit } = form({ hasToken: true, onDropToken });
  expect(page.all("name-input")).toHaveLength(0);
  await submit();
  expect(onJoin).toHaveBeenCalledWith("lobby", "");
  page.root.querySelector<HTMLButtonElement>(".token button")!.click();
  expect(onDropToken).toHaveBeenCalled();
});

test("says why the server refused", () => {
  const { page } = form({ refusal: "You are banned." });
  expect(page.find("notice").textContent).toBe("You are banned.");
  expect(page.find("notice").getAttribute("role")).toBe("alert");
});

test("every field has a label", () => {
  const { page } = form();
  for (const input of page.root.querySelectorAll("input")) {
    expect(page.root.querySelector(`label[for="${input.id}"]`)).not.toBeNull();
  }
});
