// Every view, its place in the navigation, and the addresses that lead to it. `letter`: g and this goes there.
import { Failures } from "./failures.js";
import { Letters } from "./letters.js";
import { Overview } from "./overview.js";
import { Queues } from "./queues.js";
import { QueuePage } from "./queue.js";
import { Schedules } from "./schedules.js";
import { TaskPage } from "./task.js";
import { Tasks } from "./tasks.js";
import { Unacked } from "./unacked.js";
import { Workers } from "./workers.js";

export const places = [
  { path: "", label: "Overview", icon: "overview", letter: "o" },
  { path: "queues", label: "Queues", icon: "queues", letter: "q" },
  { path: "workers", label: "Workers", icon: "workers", letter: "w" },
  { path: "tasks", label: "Tasks", icon: "tasks", letter: "a" },
  { path: "failures", label: "Failures", icon: "failures", letter: "f" },
  { path: "schedules", label: "Schedules", icon: "schedules", letter: "s" },
  { path: "unacked", label: "Unacknowledged", icon: "unacked", letter: "u" },
];

export const routes = [
  { pattern: "", view: Overview },
  { pattern: "queues", view: Queues },
  { pattern: "queues/:vhost/:name", view: QueuePage },
  { pattern: "workers", view: Workers },
  { pattern: "tasks", view: Tasks },
  { pattern: "tasks/:id", view: TaskPage },
  { pattern: "failures", view: Failures },
  { pattern: "failures/:vhost/:queue", view: Letters },
  { pattern: "schedules", view: Schedules },
  { pattern: "unacked", view: Unacked },
];
