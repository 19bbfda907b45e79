;; Open each document of documents.json in nxml-mode, and print a line of JSON: what is marked, and what is completed.

(require 'json)

(defun marked ()
  "The texts that nxml-mode marks as errors, each with its message."
  (while (rng-do-some-validation))
  (mapcar (lambda (mark)
            (vector (buffer-substring-no-properties (overlay-start mark) (overlay-end mark))
                    (overlay-get mark 'help-echo)))
          (seq-filter (lambda (each) (eq (overlay-get each 'category) 'rng-error))
                      (overlays-in (point-min) (point-max)))))

(defun completed (text)
  "What is proposed at the end of TEXT, and the buffer after a completion."
  (erase-buffer)
  (insert text)
  (let* ((found (run-hook-with-args-until-success 'completion-at-point-functions))
         (begun (buffer-substring-no-properties (nth 0 found) (nth 1 found)))
         (proposed (all-completions begun (nth 2 found))))
    (completion-at-point)
    (vector (vconcat proposed) (buffer-substring-no-properties (point-min) (point-max)))))

(let ((documents (with-temp-buffer
                   (insert-file-contents "documents.json")
                   (json-parse-buffer :object-type 'alist :array-type 'list))))
  (dolist (path (alist-get 'files documents))
    (find-file path)
    (princ (concat (json-encode (vector major-mode (vconcat (marked)))) "\n")))
  (dolist (text (alist-get 'texts documents))
    (princ (concat (json-encode (completed text)) "\n"))))
