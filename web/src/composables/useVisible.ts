import { onBeforeUnmount, onMounted, ref } from "vue";

/** Is the page in front of the user? */
export function useVisible() {
  const visible = ref(document.visibilityState === "visible");
  const look = (): void => {
    visible.value = document.visibilityState === "visible";
  };
  onMounted(() => document.addEventListener("visibilitychange", look));
  onBeforeUnmount(() => document.removeEventListener("visibilitychange", look));
  return visible;
}
