// The search runs in a worker, which a page read from the disk may not start: there an iframe does its work.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.srcdoc = "<!doctype html>"
      this.ready = this.#load(this.frame, () => document.body.append(this.frame)).then(() => {
        const inner = this.frame.contentWindow
        inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
        inner.importScripts = (...urls) =>
          urls.reduce((before, next) => before.then(() => this.#script(next)), Promise.resolve())
        inner.IFrameWorker = this.constructor
        return this.#script(url)
      })
    }

    postMessage(data) {
      this.ready.then(() => {
        const inner = this.frame.contentWindow
        inner.dispatchEvent(new inner.MessageEvent("message", { data }))
      })
    }

    terminate() {
      this.frame.remove()
    }

    #script(url) {
      const script = this.frame.contentDocument.createElement("script")
      script.src = url
      return this.#load(script, () => this.frame.contentDocument.body.append(script))
    }

    #load(element, start) {
      return new Promise((resolve, reject) => {
        element.onload = resolve
        element.onerror = reject
        start()
      })
    }
  }
}
