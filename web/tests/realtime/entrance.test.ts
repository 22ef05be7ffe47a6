import { expect, test } from "vitest";
import { basePath, directRoom, Memory, namespaceOf, newId, otherOf, readAddress, roomCalled, roomFault, roomName, socketPath, tokenSubject, transportsTold, withRoom } from "../../src/realtime/entrance";
import { MemoryStorage } from "../../src/realtime/storage";

test("the token leaves the address, the room stays", () => {
  const address = readAddress("http://h/chat/?a=1#token=x.y.z&room=tea%20room");
  expect(address).toMatchObject({ token: "x.y.z", room: "tea room" });
  expect(address.clean).toBe("http://h/chat/?a=1&room=tea+room");
  expect(readAddress("http://h/?room=r#token=t").clean).toBe("http://h/?room=r");
});

test("an address without a token is left as it is", () => {
  const href = "http://h/?room=r#part";
  expect(readAddress(href)).toEqual({ token: null, room: "r", transports: null, clean: href });
  expect(readAddress("http://h/?transport=polling").transports).toEqual(["polling"]);
  expect(readAddress("http://h/?transport=carrier-pigeon").transports).toBeNull();
});

test("the room in the address", () => {
  expect(withRoom("http://h/p?x=1", "a/b")).toBe("http://h/p?x=1&room=a%2Fb");
  expect(withRoom("http://h/p?x=1&room=a", null)).toBe("http://h/p?x=1");
});

test.each([["/", "/"], ["/index.html", "/"], ["/chat/", "/chat/"], ["/a/b/index.html", "/a/b/"], ["", "/"]])(
  "the page at %s is based at %s",
  (path, base) => expect(basePath(path)).toBe(base),
);

test.each([
  ["/", "socket.io", "/socket.io"],
  ["/chat/index.html", "rt/io", "/chat/rt/io"],
  ["/chat/", null, "/chat/socket.io"],
])("Socket.IO, for a page at %s that was told %s, is at %s", (path, told, found) => expect(socketPath(path, told)).toBe(found));

test.each([
  ["websocket", ["websocket"]],
  ["polling", ["polling"]],
  ["polling websocket", ["polling", "websocket"]],
  ["", null],
  [undefined, null],
])("the transports of %s", (told, found) => expect(transportsTold(told)).toEqual(found));

test("room names", () => {
  expect(roomName("  //lobby ")).toBe("lobby");
  expect(roomName("cafe\u0301")).toBe("caf\u00e9");
  for (const good of ["lobby", "support/42", "茶室", "a_b.c:d-e", "Straße"]) expect(roomFault(good)).toBeNull();
  for (const bad of ["", "a b", "a,b", "a?b", "a#b", "a\u202eb", "@me", "a@b", "x".repeat(129)]) expect(roomFault(bad)).not.toBeNull();
});

test("the subject of a token, or none", () => {
  const token = (claims: unknown): string => `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;
  expect(tokenSubject(token({ sub: "üser/1?" }))).toBe("üser/1?");
  for (const bad of ["", "x", "a.b.c", token(null), token({ sub: 1 }), token({ sub: "" })]) expect(tokenSubject(bad)).toBeNull();
});

test("ids are UUIDs, outside a secure context too", () => {
  const insecure = { getRandomValues: crypto.getRandomValues.bind(crypto) } as unknown as Crypto;
  for (const id of [newId(), newId(insecure)]) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
  expect(newId(insecure)).not.toBe(newId(insecure));
});

test("the user's id stays, the token stays in the tab", () => {
  const [local, tab] = [new MemoryStorage(), new MemoryStorage()];
  const memory = new Memory(local, tab);
  const { user } = memory;
  memory.token = "secret";
  memory.joined = "tea";
  expect(new Memory(local, new MemoryStorage())).toMatchObject({ user, token: null, joined: null, lastRoom: "tea" });
  expect(Array.from({ length: local.length }, (_, index) => local.getItem(local.key(index)!))).not.toContain("secret");
  expect(new Memory(local, tab)).toMatchObject({ token: "secret", joined: "tea" });
});

test("a room of two is named by the other one, whose id may hold anything", () => {
  expect([roomFault("@dm/bob"), roomFault("@dm/") === null, roomFault("@me") === null]).toEqual([null, false, false]);
  expect([namespaceOf("tea/green"), namespaceOf("@dm/a,b@x?")]).toEqual(["/tea/green", "/@dm/a%2Cb%40x%3F"]);
  expect([otherOf(directRoom("a/b")), otherOf("tea")]).toEqual(["a/b", null]);
  expect(["tea%20", "@dm/a%2Cb%40x%3F", "@dm/100%"].map(roomCalled)).toEqual(["tea%20", "@dm/a,b@x?", "@dm/100%"]);
});
