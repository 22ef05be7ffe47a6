// @vitest-environment happy-dom
import { effectScope } from "vue";
import { beforeEach, expect, test, vi } from "vitest";

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
  window.history.replaceState(null, "", "/");
  vi.resetModules();
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});

async function arriveAt(href: string) {
  window.history.replaceState(null, "", href);
  const { useEntrance } = await import("../../src/composables/useEntrance");
  return effectScope().run(() => useEntrance(() => undefined))!;
}

test("a token is taken out of the address at once and kept in the tab only", async () => {
  const entrance = await arriveAt("/chat/?room=tea#token=a.b.c");
  expect(window.location.href).not.toContain("token");
  expect(entrance.room.value).toBe("tea");
  expect(entrance.auth()).toEqual({ token: "a.b.c" });
  expect(JSON.stringify({ ...localStorage })).not.toContain("a.b.c");
});

test("without a token the user gets an id that stays, and is asked for a name first", async () => {
  const entrance = await arriveAt("/?room=tea");
  expect([entrance.room.value, entrance.proposedRoom.value]).toEqual([null, "tea"]);
  entrance.join("tea", "Ada");
  const auth = entrance.auth();
  expect(auth).toMatchObject({ name: "Ada", user: expect.stringMatching(/^[0-9a-f-]{36}$/) });
  expect(window.location.search).toBe("?room=tea");

  vi.resetModules();
  const reloaded = await arriveAt("/?room=tea");
  expect(reloaded.room.value).toBe("tea");
  expect(reloaded.auth()).toEqual(auth);
  reloaded.leave();
  expect([reloaded.room.value, sessionStorage.getItem("sioserver.joined")]).toEqual([null, null]);
});

test("somebody's link to another room is proposed, not followed", async () => {
  localStorage.setItem("sioserver.name", "Ada");
  sessionStorage.setItem("sioserver.joined", "tea");
  const entrance = await arriveAt("/?room=coffee");
  expect([entrance.room.value, entrance.proposedRoom.value]).toEqual([null, "coffee"]);
});

test("a token can be put away", async () => {
  const entrance = await arriveAt("/#token=a.b.c");
  expect(entrance.room.value).toBeNull();
  entrance.dropToken();
  entrance.join("tea", "Ada");
  expect(entrance.auth()).toMatchObject({ name: "Ada" });
});
