<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="ja" sourcelanguage="en">
<context>
    <name></name>
    <message>
        <source>it must not be empty</source>
        <translation>空にはできません</translation>
    </message>
    <message>
        <source>it is not a folder</source>
        <translation>フォルダーではありません</translation>
    </message>
    <message>
        <source>it cannot be written</source>
        <translation>書き込めません</translation>
    </message>
</context>
<context>
    <name>AdvancedPanel</name>
    <message>
        <source>Rank</source>
        <translation>ランク</translation>
    </message>
    <message>
        <source>by the preset</source>
        <translation>目安のとおり</translation>
    </message>
    <message>
        <source>Alpha</source>
        <translation>アルファ</translation>
    </message>
    <message>
        <source>like the rank</source>
        <translation>ランクと同じ</translation>
    </message>
    <message>
        <source>Layers</source>
        <translation>対象の層</translation>
    </message>
    <message>
        <source>attention</source>
        <translation>注意層</translation>
    </message>
    <message>
        <source>attention and feed-forward: learns more</source>
        <translation>注意層と全結合層：多く学ぶ</translation>
    </message>
    <message>
        <source>only what reads the prompt: learns less</source>
        <translation>プロンプトを読む層だけ：控えめに学ぶ</translation>
    </message>
    <message>
        <source>Share of Japanese where an image has captions in both languages</source>
        <translation>両方の言語の説明文があるときに日本語を使う割合</translation>
    </message>
    <message>
        <source>Share shown without its caption, so that guidance works</source>
        <translation>説明文なしで見せる割合。ガイダンスを効かせるためです</translation>
    </message>
    <message>
        <source>Share that is not learned from, to see whether images are memorized</source>
        <translation>学習に使わず、丸暗記していないかを見るための割合</translation>
    </message>
    <message>
        <source>Japanese captions</source>
        <translation>日本語の説明文</translation>
    </message>
    <message>
        <source>Without caption</source>
        <translation>説明文なし</translation>
    </message>
    <message>
        <source>Mirrored</source>
        <translation>左右反転</translation>
    </message>
    <message>
        <source>Share shown mirrored</source>
        <translation>左右を反転して見せる割合</translation>
    </message>
    <message>
        <source>Held out</source>
        <translation>評価用</translation>
    </message>
    <message>
        <source>Optimiser</source>
        <translation>最適化の方法</translation>
    </message>
    <message>
        <source>AdamW, 8 bit</source>
        <translation>AdamW（8 ビット）</translation>
    </message>
    <message>
        <source>Learning rate over time</source>
        <translation>学習率の変え方</translation>
    </message>
    <message>
        <source>falling as a cosine</source>
        <translation>余弦で下げる</translation>
    </message>
    <message>
        <source>constant</source>
        <translation>一定</translation>
    </message>
    <message>
        <source>falling evenly</source>
        <translation>一定の割合で下げる</translation>
    </message>
    <message>
        <source>Warm-up steps</source>
        <translation>慣らしのステップ数</translation>
    </message>
    <message>
        <source>Precision</source>
        <translation>計算の精度</translation>
    </message>
    <message>
        <source>automatic</source>
        <translation>自動</translation>
    </message>
    <message>
        <source>Checkpoint every</source>
        <translation>保存の間隔</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>シード</translation>
    </message>
    <message>
        <source>Average the weights over time (EMA)</source>
        <translation>重みを時間平均する（EMA）</translation>
    </message>
    <message>
        <source>Take the result from the checkpoint with the lowest held-out loss</source>
        <translation>評価用の損失が最も低い保存点を結果にする</translation>
    </message>
</context>
<context>
    <name>AfterQueue</name>
    <message>
        <source>When all is done:</source>
        <translation>すべて終わったら：</translation>
    </message>
    <message>
        <source>When all is done</source>
        <translation>すべて終わったら</translation>
    </message>
    <message>
        <source>do nothing</source>
        <translation>何もしない</translation>
    </message>
    <message>
        <source>notify me</source>
        <translation>知らせる</translation>
    </message>
    <message>
        <source>put the computer to sleep</source>
        <translation>スリープする</translation>
    </message>
    <message>
        <source>shut the computer down</source>
        <translation>電源を切る</translation>
    </message>
    <message>
        <source>run a command</source>
        <translation>コマンドを実行</translation>
    </message>
    <message>
        <source>command line</source>
        <translation>コマンド</translation>
    </message>
    <message>
        <source>Command to run when all is done</source>
        <translation>すべて終わったら実行するコマンド</translation>
    </message>
    <message>
        <source>The queue is done. The computer goes to sleep in {count} seconds.</source>
        <translation>キューが終わりました。{count}秒後にスリープします。</translation>
    </message>
    <message>
        <source>The queue is done. The computer is shut down in {count} seconds.</source>
        <translation>キューが終わりました。{count}秒後に電源を切ります。</translation>
    </message>
    <message>
        <source>Keep it on</source>
        <translation>そのままにする</translation>
    </message>
    <message>
        <source>The command to run when the queue is empty ended with status {status}.</source>
        <translation>終了後のコマンドが終了コード{status}で終わりました。</translation>
    </message>
    <message>
        <source>All images of the queue are made.</source>
        <translation>キューの画像をすべて生成しました。</translation>
    </message>
    <message>
        <source>Show the images</source>
        <translation>画像を見る</translation>
    </message>
</context>
<context>
    <name>CacheRows</name>
    <message>
        <source>Text features</source>
        <translation>テキスト特徴</translation>
    </message>
    <message>
        <source>Thumbnails</source>
        <translation>サムネイル</translation>
    </message>
    <message>
        <source>Clear</source>
        <translation>消去</translation>
    </message>
    <message>
        <source>It is created again when it is needed</source>
        <translation>必要なときに作り直されます</translation>
    </message>
    <message>
        <source>Clear: {name}</source>
        <translation>消去：{name}</translation>
    </message>
</context>
<context>
    <name>CaseLabels</name>
    <message>
        <source>Text encoder</source>
        <translation>テキストエンコーダー</translation>
    </message>
    <message>
        <source>Denoiser</source>
        <translation>デノイザー</translation>
    </message>
    <message>
        <source>VAE decoder</source>
        <translation>VAE デコーダー</translation>
    </message>
    <message>
        <source>VAE encoder</source>
        <translation>VAE エンコーダー</translation>
    </message>
    <message>
        <source>within</source>
        <translation>合格</translation>
    </message>
    <message>
        <source>missed</source>
        <translation>不合格</translation>
    </message>
    <message>
        <source>not reached</source>
        <translation>未実施</translation>
    </message>
    <message>
        <source>Part</source>
        <translation>部品</translation>
    </message>
    <message>
        <source>Shapes</source>
        <translation>形</translation>
    </message>
    <message>
        <source>Largest</source>
        <translation>最大</translation>
    </message>
    <message>
        <source>Largest error, relative to the largest value</source>
        <translation>最大誤差（最大の数値に対する比）</translation>
    </message>
    <message>
        <source>RMS</source>
        <translation>RMS</translation>
    </message>
    <message>
        <source>RMS error, relative to the RMS of PyTorch&apos;s values</source>
        <translation>RMS 誤差（PyTorch の数値の RMS に対する比）</translation>
    </message>
    <message>
        <source>Bounds</source>
        <translation>許容値</translation>
    </message>
    <message>
        <source>What the largest and the RMS error may be at most</source>
        <translation>最大誤差と RMS 誤差の許容値</translation>
    </message>
    <message>
        <source>Result</source>
        <translation>判定</translation>
    </message>
</context>
<context>
    <name>CommandPalette</name>
    <message>
        <source>Nothing with this name was found.</source>
        <translation>該当するものはありません。</translation>
    </message>
</context>
<context>
    <name>ComposeForm</name>
    <message>
        <source>Quality</source>
        <translation>品質</translation>
    </message>
    <message>
        <source>Exact</source>
        <translation>正確</translation>
    </message>
    <message>
        <source>Balanced</source>
        <translation>バランス</translation>
    </message>
    <message>
        <source>Faster, with differences that are hard to see.</source>
        <translation>速くなります。違いはほとんど分かりません。</translation>
    </message>
    <message>
        <source>Fast</source>
        <translation>高速</translation>
    </message>
    <message>
        <source>Draft</source>
        <translation>下書き</translation>
    </message>
    <message>
        <source>The fastest, to try out prompts.</source>
        <translation>最も速く、プロンプトの試し描きに向きます。</translation>
    </message>
    <message>
        <source>Steps</source>
        <translation>ステップ数</translation>
    </message>
    <message>
        <source>Guidance</source>
        <translation>ガイダンス</translation>
    </message>
    <message>
        <source>Sampler</source>
        <translation>サンプラー</translation>
    </message>
    <message>
        <source>Exactly the image that the seed stands for.</source>
        <translation>シードが表す画像そのものを作ります。</translation>
    </message>
    <message>
        <source>Much faster; details differ from the exact image.</source>
        <translation>かなり速くなります。細部は「正確」と異なります。</translation>
    </message>
    <message>
        <source>How closely the image follows the prompt</source>
        <translation>プロンプトにどれだけ忠実に従うか</translation>
    </message>
    <message>
        <source>Images of each prompt</source>
        <translation>プロンプトごとの枚数</translation>
    </message>
    <message>
        <source>Folder</source>
        <translation>フォルダー</translation>
    </message>
    <message>
        <source>Choose a folder</source>
        <translation>フォルダーを選ぶ</translation>
    </message>
    <message>
        <source>File name</source>
        <translation>ファイル名</translation>
    </message>
    <message>
        <source>Fields: {fields}</source>
        <translation>使える項目：{fields}</translation>
    </message>
    <message>
        <source>File format</source>
        <translation>ファイル形式</translation>
    </message>
    <message>
        <source>Number format</source>
        <translation>数値型</translation>
    </message>
    <message>
        <source>Automatic</source>
        <translation>自動</translation>
    </message>
    <message>
        <source>The same pixels every time (slower)</source>
        <translation>毎回同じ画素にする（遅くなります）</translation>
    </message>
    <message>
        <source>Job name</source>
        <translation>ジョブ名</translation>
    </message>
    <message>
        <source>by the prompt</source>
        <translation>プロンプトから</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>モデル</translation>
    </message>
    <message>
        <source>LoRA</source>
        <translation>LoRA</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>サイズ</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>シード</translation>
    </message>
    <message>
        <source>of each prompt</source>
        <translation>枚（プロンプトごと）</translation>
    </message>
    <message>
        <source>Images</source>
        <translation>画像</translation>
    </message>
    <message>
        <source>Format</source>
        <translation>形式</translation>
    </message>
    <message>
        <source>Numbers</source>
        <translation>数値型</translation>
    </message>
    <message>
        <source>a red apple</source>
        <translation>赤いりんご</translation>
    </message>
</context>
<context>
    <name>ComposePanel</name>
    <message>
        <source>Prompt</source>
        <translation>プロンプト</translation>
    </message>
    <message>
        <source>What should be drawn? For example: りんご、フラット調 / a red apple, flat style</source>
        <translation>何を描きますか？ 例：りんご、フラット調 / a red apple, flat style</translation>
    </message>
    <message>
        <source>Negative prompt</source>
        <translation>ネガティブプロンプト</translation>
    </message>
    <message>
        <source>Add to queue</source>
        <translation>キューに追加</translation>
    </message>
    <message>
        <source>Make one now</source>
        <translation>今すぐ1枚</translation>
    </message>
    <message>
        <source>Compose</source>
        <translation>作成</translation>
    </message>
    <message>
        <source>What should not be in the image (may stay empty)</source>
        <translation>画像に入れたくないもの（空でもかまいません）</translation>
    </message>
    <message>
        <source>= 1 image</source>
        <translation>＝1枚</translation>
    </message>
    <message>
        <source>= {count} images</source>
        <translation>＝{count}枚</translation>
    </message>
    <message>
        <source>For example: {prompt}</source>
        <translation>例：{prompt}</translation>
    </message>
    <message>
        <source>Write a prompt first.</source>
        <translation>先にプロンプトを入力してください。</translation>
    </message>
    <message>
        <source>One of the settings is not valid; see the field.</source>
        <translation>使えない設定があります。該当の欄をご覧ください。</translation>
    </message>
    <message>
        <source>Adding…</source>
        <translation>追加しています…</translation>
    </message>
    <message>
        <source>The last run was cut off; resume it in the queue, then these are made too.</source>
        <translation>前回の実行が途中で止まっています。キューで再開すると、これらも生成します。</translation>
    </message>
    <message>
        <source>The queue is paused.</source>
        <translation>キューは一時停止中です。</translation>
    </message>
    <message>
        <source>1 image added</source>
        <translation>1枚追加しました</translation>
    </message>
    <message>
        <source>{count} images added</source>
        <translation>{count}枚追加しました</translation>
    </message>
    <message>
        <source>1 image taken off the queue</source>
        <translation>1枚をキューから外しました</translation>
    </message>
    <message>
        <source>{count} images taken off the queue</source>
        <translation>{count}枚をキューから外しました</translation>
    </message>
    <message>
        <source>Drop a list of prompts ({lists}), an image made by this program ({images}), or a LoRA ({lora}).</source>
        <translation>プロンプトの一覧（{lists}）、このプログラムで作った画像（{images}）、LoRA（{lora}）のいずれかをドロップしてください。</translation>
    </message>
    <message>
        <source>Undo</source>
        <translation>元に戻す</translation>
    </message>
    <message>
        <source>{name} cannot be used here.</source>
        <translation>{name}はここでは使えません。</translation>
    </message>
    <message>
        <source>The settings are those of {name}</source>
        <translation>{name}の設定にしました</translation>
    </message>
    <message>
        <source>The pasted lines are one prompt. Are they {count} prompts?</source>
        <translation>貼り付けた行は一つのプロンプトになっています。{count}件のプロンプトですか？</translation>
    </message>
    <message>
        <source>Queue {count} prompts</source>
        <translation>{count}件としてキューに追加</translation>
    </message>
    <message>
        <source>Lines that begin with # are skipped as comments: {count}.</source>
        <translation>#で始まる行はコメントとして読み飛ばします（{count}行）。</translation>
    </message>
</context>
<context>
    <name>DatasetPanel</name>
    <message>
        <source>Dataset folder</source>
        <translation>データセットのフォルダー</translation>
    </message>
    <message>
        <source>Choose folder…</source>
        <translation>フォルダーを選ぶ…</translation>
    </message>
    <message>
        <source>Choose folder… (Ctrl+O)</source>
        <translation>フォルダーを選ぶ…（Ctrl+O）</translation>
    </message>
    <message>
        <source>Open the folder</source>
        <translation>フォルダーを開く</translation>
    </message>
    <message>
        <source>Choose a folder of images, or drop one here. The licence check says which may be learned from, and what is missing.</source>
        <translation>画像のフォルダーを選ぶか、ここにドロップしてください。学習に使ってよい画像と、足りない記録をライセンス検査が示します。</translation>
    </message>
    <message>
        <source>Choose a folder of images</source>
        <translation>画像のフォルダーを選ぶ</translation>
    </message>
    <message>
        <source>No image was imported.</source>
        <translation>画像を 1 枚も取り込めませんでした。</translation>
    </message>
    <message>
        <source>{count} image(s) imported.</source>
        <translation>{count} 枚を取り込みました。</translation>
    </message>
    <message>
        <source>Check</source>
        <translation>検査</translation>
    </message>
    <message>
        <source>Check the licences (F5)</source>
        <translation>ライセンスを検査（F5）</translation>
    </message>
    <message>
        <source>Stop</source>
        <translation>中止</translation>
    </message>
    <message>
        <source>Allowed for</source>
        <translation>用途</translation>
    </message>
    <message>
        <source>No folder chosen</source>
        <translation>フォルダー未選択</translation>
    </message>
    <message>
        <source>Check again</source>
        <translation>もう一度確かめる</translation>
    </message>
    <message>
        <source>Saved: {count} record(s). Check again to see what is left.</source>
        <translation>{count} 件を保存しました。残りはもう一度検査すると分かります。</translation>
    </message>
</context>
<context>
    <name>DatasetTexts</name>
    <message>
        <source>{count} images</source>
        <translation>{count} 枚</translation>
    </message>
    <message>
        <source>licences: {list}</source>
        <translation>ライセンス：{list}</translation>
    </message>
    <message>
        <source>creators: {list}</source>
        <translation>作者：{list}</translation>
    </message>
    <message>
        <source>captions: English {en}, Japanese {ja}</source>
        <translation>説明文：英語 {en}、日本語 {ja}</translation>
    </message>
    <message>
        <source>Changed since the check: check again.</source>
        <translation>検査のあとに変更されました。もう一度検査してください。</translation>
    </message>
    <message>
        <source>The check passed, with {warnings} warning(s).</source>
        <translation>検査に合格しました（注意 {warnings} 件）。</translation>
    </message>
    <message>
        <source>The check refuses this folder: {blocking} reason(s), {warnings} warning(s).</source>
        <translation>検査に不合格です：不可 {blocking} 件、注意 {warnings} 件。</translation>
    </message>
</context>
<context>
    <name>Details</name>
    <message>
        <source>Details</source>
        <translation>詳細</translation>
    </message>
    <message>
        <source>{count} selected</source>
        <translation>{count}件を選択中</translation>
    </message>
    <message>
        <source>Select an image to see its details.</source>
        <translation>画像を選ぶと、詳細を表示します。</translation>
    </message>
    <message>
        <source>Copy error details</source>
        <translation>エラーの詳細をコピー</translation>
    </message>
    <message>
        <source>State</source>
        <translation>状態</translation>
    </message>
    <message>
        <source>Error</source>
        <translation>エラー</translation>
    </message>
    <message>
        <source>What to do</source>
        <translation>対処</translation>
    </message>
    <message>
        <source>Attempts</source>
        <translation>試行回数</translation>
    </message>
    <message>
        <source>Prompt</source>
        <translation>プロンプト</translation>
    </message>
    <message>
        <source>Template</source>
        <translation>テンプレート</translation>
    </message>
    <message>
        <source>Negative prompt</source>
        <translation>ネガティブプロンプト</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>シード</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>サイズ</translation>
    </message>
    <message>
        <source>Steps</source>
        <translation>ステップ数</translation>
    </message>
    <message>
        <source>Guidance scale</source>
        <translation>ガイダンス</translation>
    </message>
    <message>
        <source>Sampler</source>
        <translation>サンプラー</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>モデル</translation>
    </message>
    <message>
        <source>File</source>
        <translation>ファイル</translation>
    </message>
    <message>
        <source>Job</source>
        <translation>ジョブ</translation>
    </message>
    <message>
        <source>Images</source>
        <translation>画像</translation>
    </message>
    <message>
        <source>Priority</source>
        <translation>優先度</translation>
    </message>
</context>
<context>
    <name>DeviceField</name>
    <message>
        <source>Automatic</source>
        <translation>自動で選ぶ</translation>
    </message>
    <message>
        <source>Write it like {example}.</source>
        <translation>{example}のように入力してください。</translation>
    </message>
</context>
<context>
    <name>DoctorList</name>
    <message>
        <source>good</source>
        <translation>正常</translation>
    </message>
    <message>
        <source>note</source>
        <translation>ご確認ください</translation>
    </message>
    <message>
        <source>Checking this machine…</source>
        <translation>この環境を調べています…</translation>
    </message>
    <message>
        <source>Check again</source>
        <translation>もう一度調べる</translation>
    </message>
    <message>
        <source>missing</source>
        <translation>不足</translation>
    </message>
</context>
<context>
    <name>DownloadPanel</name>
    <message>
        <source>by the system</source>
        <translation>システムの設定に従う</translation>
    </message>
    <message>
        <source>Also download pickled weights where there are no others, and convert them here</source>
        <translation>pickle形式しかない重みも取得し、ここで変換する</translation>
    </message>
    <message>
        <source>They are read without running anything in them. Allow it only if you trust where they come from.</source>
        <translation>中のプログラムを実行せずに読み取ります。入手先を信頼できる場合にだけ許可してください。</translation>
    </message>
    <message>
        <source>Show licences and sizes</source>
        <translation>ライセンスとサイズを確認</translation>
    </message>
    <message>
        <source>Download</source>
        <translation>ダウンロード</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>取り消す</translation>
    </message>
    <message>
        <source>Close (Esc)</source>
        <translation>閉じる（Esc）</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>閉じる</translation>
    </message>
    <message>
        <source>Progress</source>
        <translation>進み具合</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>モデル</translation>
    </message>
    <message>
        <source>Text encoder</source>
        <translation>テキストエンコーダー</translation>
    </message>
    <message>
        <source>VAE</source>
        <translation>VAE</translation>
    </message>
    <message>
        <source>Address</source>
        <translation>アドレス</translation>
    </message>
    <message>
        <source>Proxy</source>
        <translation>プロキシ</translation>
    </message>
    <message>
        <source>Get a model</source>
        <translation>モデルを入手</translation>
    </message>
    <message>
        <source>This is the only place where this program uses the network, and only when you press a button here. Leave the parts empty for a model that brings its own.</source>
        <translation>このプログラムがネットワークを使うのは、この画面でボタンを押したときだけです。部品を含むモデルでは、部品の欄を空にしてください。</translation>
    </message>
    <message>
        <source>Asking the hub…</source>
        <translation>ハブに問い合わせています…</translation>
    </message>
    <message>
        <source>licence: {licence}</source>
        <translation>ライセンス：{licence}</translation>
    </message>
    <message>
        <source>none is named</source>
        <translation>記載なし</translation>
    </message>
    <message>
        <source>{count} files, {size}, {left} left to download</source>
        <translation>{count}ファイル、{size}（残り{left}）</translation>
    </message>
    <message>
        <source>{size} of weights exist only in pickled form</source>
        <translation>うち{size}の重みはpickle形式のみです</translation>
    </message>
    <message>
        <source>{size} left to download in total</source>
        <translation>ダウンロードする量：{size}</translation>
    </message>
    <message>
        <source>Stopped. What was downloaded is kept; the next download continues from there.</source>
        <translation>中止しました。取得した分は残り、次回は続きから始めます。</translation>
    </message>
    <message>
        <source>Download {size}</source>
        <translation>{size}をダウンロード</translation>
    </message>
    <message>
        <source>Add to the models</source>
        <translation>モデルに追加</translation>
    </message>
    <message>
        <source>Downloading…</source>
        <translation>ダウンロードしています…</translation>
    </message>
    <message>
        <source>{done} of {total}</source>
        <translation>{total}中{done}</translation>
    </message>
    <message>
        <source>Putting it together…</source>
        <translation>仕上げています…</translation>
    </message>
</context>
<context>
    <name>DropArea</name>
    <message>
        <source>Drop images or folders here</source>
        <translation>画像やフォルダーをここにドロップ</translation>
    </message>
    <message>
        <source>See who signed an image, whether it was changed since, how it was made, and under which licences its LoRAs were taught. Images of other tools are read, too. Nothing leaves this computer.</source>
        <translation>画像の署名者、署名後の変更の有無、生成の記録、LoRAの学習に使われた画像のライセンスを確かめます。ほかのツールの画像も読み取ります。データがこのコンピューターの外に出ることはありません。</translation>
    </message>
    <message>
        <source>Choose images…</source>
        <translation>画像を選ぶ…</translation>
    </message>
    <message>
        <source>Choose a folder…</source>
        <translation>フォルダーを選ぶ…</translation>
    </message>
</context>
<context>
    <name>EditPanel</name>
    <message>
        <source>as it is</source>
        <translation>そのまま</translation>
    </message>
    <message>
        <source>Prompt</source>
        <translation>プロンプト</translation>
    </message>
    <message>
        <source>unchanged; text entered here becomes the prompt of all</source>
        <translation>そのまま（入力すると、すべてのプロンプトになります）</translation>
    </message>
    <message>
        <source>Change waiting images</source>
        <translation>待機中の画像を変更</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>閉じる</translation>
    </message>
    <message>
        <source>Steps</source>
        <translation>ステップ数</translation>
    </message>
    <message>
        <source>Guidance scale</source>
        <translation>ガイダンス</translation>
    </message>
    <message>
        <source>Width</source>
        <translation>幅</translation>
    </message>
    <message>
        <source>Height</source>
        <translation>高さ</translation>
    </message>
    <message>
        <source>Sampler</source>
        <translation>サンプラー</translation>
    </message>
    <message>
        <source>Output folder</source>
        <translation>出力先</translation>
    </message>
    <message>
        <source>Change the {count} waiting image(s) of “{name}”</source>
        <translation>「{name}」の待機中{count}枚を変更</translation>
    </message>
</context>
<context>
    <name>EmptyQueue</name>
    <message>
        <source>Write a prompt</source>
        <translation>プロンプトを書く</translation>
    </message>
    <message>
        <source>Go to the prompt field</source>
        <translation>プロンプトの入力欄へ移動</translation>
    </message>
    <message>
        <source>Show all</source>
        <translation>すべて表示</translation>
    </message>
    <message>
        <source>Nothing here matches.</source>
        <translation>条件に合うものがありません。</translation>
    </message>
    <message>
        <source>Images waiting to be made are listed here, in order.</source>
        <translation>これから作る画像が、作る順に並びます。</translation>
    </message>
    <message>
        <source>Write a prompt and press Ctrl+Enter to add the first ones, or drop a text, CSV or JSONL file of prompts on the form. The list survives a crash, a power cut and closing this window.</source>
        <translation>プロンプトを書いてCtrl+Enterで追加するか、テキスト・CSV・JSONLのファイルを入力欄へドロップしてください。一覧は異常終了や停電でも、ウィンドウを閉じても失われません。</translation>
    </message>
</context>
<context>
    <name>EmptyState</name>
    <message>
        <source>No image matches</source>
        <translation>条件に合う画像がありません</translation>
    </message>
    <message>
        <source>Every word must occur in the prompt or the settings.</source>
        <translation>プロンプトか設定に、すべての語が含まれている必要があります。</translation>
    </message>
    <message>
        <source>Show all images</source>
        <translation>すべての画像を表示</translation>
    </message>
    <message>
        <source>Your images will be here</source>
        <translation>作った画像がここに並びます</translation>
    </message>
    <message>
        <source>Make images</source>
        <translation>画像を作る</translation>
    </message>
    <message>
        <source>Looking through the folders…</source>
        <translation>フォルダーを調べています…</translation>
    </message>
    <message>
        <source>Find, compare and rate what you made, and make more of what you like.</source>
        <translation>作った画像を探し、比べ、評価して、気に入ったものからさらに作れます。</translation>
    </message>
</context>
<context>
    <name>EncoderField</name>
    <message>
        <source>Folder…</source>
        <translation>フォルダー…</translation>
    </message>
    <message>
        <source>Add a local CLIP, SigLIP or DINO folder</source>
        <translation>手元にある CLIP・SigLIP・DINO のフォルダーを加えます</translation>
    </message>
    <message>
        <source>ONNX file…</source>
        <translation>ONNXファイル…</translation>
    </message>
    <message>
        <source>Add an encoder as an ONNX file</source>
        <translation>エンコーダーをONNXファイルで加えます</translation>
    </message>
    <message>
        <source>Remove {name}</source>
        <translation>{name}を外す</translation>
    </message>
    <message>
        <source>Choose an encoder</source>
        <translation>エンコーダーを選ぶ</translation>
    </message>
</context>
<context>
    <name>EvaluateForm</name>
    <message>
        <source>Prompts file</source>
        <translation>プロンプトのファイル</translation>
    </message>
    <message>
        <source>Choose a prompts file</source>
        <translation>プロンプトのファイルを選ぶ</translation>
    </message>
    <message>
        <source>Prompts (*.txt *.csv *.tsv *.jsonl *.json)</source>
        <translation>プロンプト (*.txt *.csv *.tsv *.jsonl *.json)</translation>
    </message>
    <message>
        <source>Reference folder</source>
        <translation>参照画像のフォルダー</translation>
    </message>
    <message>
        <source>None: no distances</source>
        <translation>なし（距離は測りません）</translation>
    </message>
    <message>
        <source>Earlier result</source>
        <translation>以前の結果</translation>
    </message>
    <message>
        <source>None</source>
        <translation>なし</translation>
    </message>
    <message>
        <source>Choose an earlier result</source>
        <translation>以前の結果を選ぶ</translation>
    </message>
    <message>
        <source>Japanese</source>
        <translation>日本語</translation>
    </message>
    <message>
        <source>English</source>
        <translation>英語</translation>
    </message>
    <message>
        <source>The concepts the model knows</source>
        <translation>モデルが知っているもの</translation>
    </message>
    <message>
        <source>Choose a folder of real images</source>
        <translation>実際の画像のフォルダーを選ぶ</translation>
    </message>
    <message>
        <source>Images per prompt</source>
        <translation>プロンプトごとの枚数</translation>
    </message>
    <message>
        <source>all</source>
        <translation>すべて</translation>
    </message>
    <message>
        <source>Prompts of each language, at most</source>
        <translation>各言語のプロンプトの上限</translation>
    </message>
    <message>
        <source>First seed</source>
        <translation>最初のシード</translation>
    </message>
    <message>
        <source>Steps</source>
        <translation>ステップ数</translation>
    </message>
    <message>
        <source>Guidance</source>
        <translation>ガイダンス</translation>
    </message>
    <message>
        <source>Evaluate</source>
        <translation>評価</translation>
    </message>
    <message>
        <source>Measures how well a model follows Japanese and English prompts. It is done on this machine alone.</source>
        <translation>日本語と英語のプロンプトにモデルがどれだけ従うかを測ります。すべてこの機械の中だけで行います。</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>モデル</translation>
    </message>
    <message>
        <source>LoRA</source>
        <translation>LoRA</translation>
    </message>
    <message>
        <source>Text, CSV or JSONL, or captions of COCO&apos;s form. Without one, what the model knows is drawn and looked for among true drawings.</source>
        <translation>テキスト・CSV・JSONL、またはCOCO形式の説明文です。空なら、モデルが知っているものを描き、正しい絵の中から見分けられるかを調べます。</translation>
    </message>
    <message>
        <source>Languages</source>
        <translation>言語</translation>
    </message>
    <message>
        <source>Encoders</source>
        <translation>エンコーダー</translation>
    </message>
    <message>
        <source>They read images and texts, for CLIPScore and distances. Nothing is downloaded.</source>
        <translation>画像と言葉を読み取り、CLIPScoreや距離を測ります。ネットワークからは何も取得しません。</translation>
    </message>
    <message>
        <source>Real images for KID and CMMD (50 at least) and FID (2,048).</source>
        <translation>KID・CMMD（50枚以上）とFID（2,048枚以上）に使う実際の画像です。</translation>
    </message>
    <message>
        <source>Compare with an earlier result</source>
        <translation>以前の結果と比べる</translation>
    </message>
    <message>
        <source>Choose at least one language.</source>
        <translation>言語を一つ以上選んでください。</translation>
    </message>
</context>
<context>
    <name>EvaluatePage</name>
    <message>
        <source>Evaluate</source>
        <translation>評価</translation>
    </message>
    <message>
        <source>Open a result…</source>
        <translation>結果を開く…</translation>
    </message>
    <message>
        <source>Evaluate ({keys})</source>
        <translation>評価する ({keys})</translation>
    </message>
    <message>
        <source>Show the result of an earlier evaluation ({keys})</source>
        <translation>以前の評価の結果を表示します ({keys})</translation>
    </message>
    <message>
        <source>Stop; what was drawn is kept, and the next evaluation of the same goes on from there ({keys})</source>
        <translation>中止します。描いた画像は残り、同じ評価を始めると続きから進みます ({keys})</translation>
    </message>
    <message>
        <source>The results will appear here</source>
        <translation>ここに評価の結果が表示されます</translation>
    </message>
    <message>
        <source>Every prompt is drawn from a fixed seed, the same in both languages, and measured in one table: Japanese, English, and both.</source>
        <translation>すべてのプロンプトを両言語で同じ決まったシードから描き、日本語・英語・両方を一つの表にまとめて測ります。</translation>
    </message>
    <message>
        <source>Evaluating {model}</source>
        <translation>{model} を評価しています</translation>
    </message>
    <message>
        <source>Open a result to look at an earlier evaluation, or choose one on the left to compare with.</source>
        <translation>以前の評価を見るには結果を開いてください。比べるには左で以前の結果を選んでください。</translation>
    </message>
    <message>
        <source>{model} is evaluated.</source>
        <translation>{model} の評価が終わりました。</translation>
    </message>
    <message>
        <source>The evaluation of {model} failed.</source>
        <translation>{model} を評価できませんでした。</translation>
    </message>
    <message>
        <source>The evaluation of {model} was stopped. What was drawn is kept; Evaluate goes on from there.</source>
        <translation>{model} の評価を中止しました。描いた画像は残っており、「評価」を押すと続きから進みます。</translation>
    </message>
    <message>
        <source>Open a result</source>
        <translation>結果を開く</translation>
    </message>
    <message>
        <source>Press Evaluate to see whether the model draws what the prompt says; no encoder and no prompts file are needed for the bundled model. With encoders there are scores for any prompt, with a reference folder distances to real images.</source>
        <translation>「評価」を押すと、モデルが指示どおりに描くかを調べます。同梱モデルにはエンコーダーもプロンプトのファイルも要りません。エンコーダーがあればどのプロンプトでもスコアを、参照画像があれば実際の画像との距離を測れます。</translation>
    </message>
    <message>
        <source>{path} is no result of an evaluation.</source>
        <translation>{path} は評価の結果ではありません。</translation>
    </message>
</context>
<context>
    <name>EvaluateRunView</name>
    <message>
        <source>Stopping; what was drawn is kept…</source>
        <translation>中止しています。描いた画像は残ります…</translation>
    </message>
    <message>
        <source>Reading the model and what it is compared with…</source>
        <translation>モデルと比べる画像を読んでいます…</translation>
    </message>
    <message>
        <source>{done} of {total} images drawn or measured</source>
        <translation>{total} 枚中 {done} 枚を描画または解析しました</translation>
    </message>
    <message>
        <source>Computing the figures and writing the report…</source>
        <translation>数値をまとめてレポートを書いています…</translation>
    </message>
</context>
<context>
    <name>EvaluationReportView</name>
    <message>
        <source>Copy figures</source>
        <translation>数値をコピー</translation>
    </message>
    <message>
        <source>The figures are on the clipboard.</source>
        <translation>数値をクリップボードにコピーしました。</translation>
    </message>
    <message>
        <source>Open report</source>
        <translation>レポートを開く</translation>
    </message>
    <message>
        <source>The complete report with plots, in the browser</source>
        <translation>図を含むレポート全体をブラウザーで開きます</translation>
    </message>
    <message>
        <source>Figures in both languages</source>
        <translation>両言語の数値</translation>
    </message>
    <message>
        <source>Differences</source>
        <translation>差</translation>
    </message>
    <message>
        <source>Notes</source>
        <translation>お知らせ</translation>
    </message>
    <message>
        <source>Images by prompt</source>
        <translation>プロンプトごとの画像</translation>
    </message>
    <message>
        <source>Figures or images</source>
        <translation>数値か画像か</translation>
    </message>
    <message>
        <source>Figures</source>
        <translation>数値</translation>
    </message>
    <message>
        <source>Images</source>
        <translation>画像</translation>
    </message>
    <message>
        <source>An evaluation</source>
        <translation>評価</translation>
    </message>
    <message>
        <source>Choose a prompts file on the left.</source>
        <translation>左でプロンプトのファイルを選んでください。</translation>
    </message>
    <message>
        <source>Choose a folder of more images, or leave the reference folder empty.</source>
        <translation>もっと画像の多いフォルダーを選ぶか、参照画像のフォルダーを空にしてください。</translation>
    </message>
    <message>
        <source>{name}: not evaluated</source>
        <translation>{name}: 評価できませんでした</translation>
    </message>
    <message>
        <source>steps</source>
        <translation>ステップ数</translation>
    </message>
    <message>
        <source>guidance</source>
        <translation>ガイダンス</translation>
    </message>
    <message>
        <source>sampler</source>
        <translation>サンプラー</translation>
    </message>
    <message>
        <source>seed</source>
        <translation>シード</translation>
    </message>
    <message>
        <source>images per prompt</source>
        <translation>プロンプトごとの枚数</translation>
    </message>
    <message>
        <source>precision</source>
        <translation>数値の形式</translation>
    </message>
    <message>
        <source>negative prompt</source>
        <translation>ネガティブプロンプト</translation>
    </message>
    <message>
        <source>encoders: {names}</source>
        <translation>エンコーダー: {names}</translation>
    </message>
    <message>
        <source>compared with {name}, {count} images</source>
        <translation>{name} の {count} 枚と比較</translation>
    </message>
    <message>
        <source>{count} image(s) could not be read and were left out, the first: {file}</source>
        <translation>読めなかった {count} 枚を除きました。最初のもの: {file}</translation>
    </message>
    <message>
        <source>{language}, not among the nearest five ({count}): {prompts}</source>
        <translation>{language}で5位以内に入らなかったもの（{count}件）: {prompts}</translation>
    </message>
    <message>
        <source>Brackets are 95 % bootstrap intervals; n is how many images a figure is of. They cover chance in prompts and seeds only.</source>
        <translation>かっこ内は再標本化による95 %区間、n は数値のもとになった画像の枚数です。プロンプトとシードの偶然だけを表します。</translation>
    </message>
    <message>
        <source>Difference from {other}</source>
        <translation>{other} との差</translation>
    </message>
</context>
<context>
    <name>ExportForm</name>
    <message>
        <source>Output folder</source>
        <translation>出力先</translation>
    </message>
    <message>
        <source>Choose a folder</source>
        <translation>フォルダーを選ぶ</translation>
    </message>
    <message>
        <source>Export</source>
        <translation>書き出し</translation>
    </message>
    <message>
        <source>Writes a model as ONNX graphs that run without PyTorch, and proves them against it before the folder is there.</source>
        <translation>モデルを、PyTorch なしで動く ONNX として書き出します。PyTorch と照合して合格したものだけがフォルダーになります。</translation>
    </message>
    <message>
        <source>Parts that it lacks</source>
        <translation>足りない部品</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>モデル</translation>
    </message>
    <message>
        <source>LoRA</source>
        <translation>LoRA</translation>
    </message>
    <message>
        <source>Precision</source>
        <translation>計算の精度</translation>
    </message>
    <message>
        <source>{model} is only a denoiser. Choose the folders of its other parts; they are remembered for it.</source>
        <translation>{model} にはデノイザーしかありません。ほかの部品のフォルダーを選んでください。選んだものは記憶されます。</translation>
    </message>
    <message>
        <source>About {need} will be written; {free} are free.</source>
        <translation>約 {need} を書き込みます（空き {free}）。</translation>
    </message>
    <message>
        <source>The disk is too small for it: about {need} are needed, {free} are free. Free some space or choose another disk.</source>
        <translation>ディスクの空きが足りません。約 {need} 必要ですが、空きは {free} です。空きを増やすか、別のディスクを選んでください。</translation>
    </message>
</context>
<context>
    <name>ExportPage</name>
    <message>
        <source>Export</source>
        <translation>書き出し</translation>
    </message>
    <message>
        <source>Open a report…</source>
        <translation>照合結果を開く…</translation>
    </message>
    <message>
        <source>Export ({keys})</source>
        <translation>書き出す（{keys}）</translation>
    </message>
    <message>
        <source>Stop the export; nothing of it is kept ({keys})</source>
        <translation>書き出しを中止します。途中のものは残りません（{keys}）</translation>
    </message>
    <message>
        <source>The report will appear here</source>
        <translation>照合結果はここに表示されます</translation>
    </message>
    <message>
        <source>What comes out is a folder that this program, and other tools for ONNX, can use on machines without PyTorch.</source>
        <translation>できたフォルダーは、このプログラムでもほかの ONNX 用ツールでも、PyTorch のない環境で使えます。</translation>
    </message>
    <message>
        <source>The export to {folder} was stopped when the window was closed; nothing of it was kept.</source>
        <translation>ウィンドウを閉じたため、{folder} への書き出しは中止されました。途中のものは残っていません。</translation>
    </message>
    <message>
        <source>{model} is exported and proved.</source>
        <translation>{model} を書き出し、照合に合格しました。</translation>
    </message>
    <message>
        <source>Show the proof of an earlier export ({keys})</source>
        <translation>以前に書き出したものの照合結果を表示します（{keys}）</translation>
    </message>
    <message>
        <source>Every graph is compared with PyTorch on several shapes, then complete images from the same noise. An export that misses its bound is removed.</source>
        <translation>各グラフをいくつかの形で PyTorch と比べ、さらに同じノイズから描いた画像全体を比べます。許容値を超えた書き出しは削除します。</translation>
    </message>
    <message>
        <source>The export of {model} failed.</source>
        <translation>{model} を書き出せませんでした。</translation>
    </message>
    <message>
        <source>Exporting {model}, {precision}</source>
        <translation>{model}（{precision}）を書き出しています</translation>
    </message>
    <message>
        <source>New images are made with {name}.</source>
        <translation>これからの画像は {name} で作ります。</translation>
    </message>
    <message>
        <source>The export of {model} was stopped; nothing of it was kept.</source>
        <translation>{model} の書き出しを中止しました。途中のものは残っていません。</translation>
    </message>
    <message>
        <source>Open a report</source>
        <translation>照合結果を開く</translation>
    </message>
    <message>
        <source>{path} is no report of an export.</source>
        <translation>{path} は書き出しの照合結果ではありません。</translation>
    </message>
    <message>
        <source>Undo</source>
        <translation>元に戻す</translation>
    </message>
</context>
<context>
    <name>ExportReportView</name>
    <message>
        <source>Copy report</source>
        <translation>報告をコピー</translation>
    </message>
    <message>
        <source>The report is on the clipboard.</source>
        <translation>照合結果をクリップボードにコピーしました。</translation>
    </message>
    <message>
        <source>Use for making images</source>
        <translation>画像づくりに使う</translation>
    </message>
    <message>
        <source>Graphs compared with PyTorch</source>
        <translation>グラフと PyTorch の照合</translation>
    </message>
    <message>
        <source>{name}: proved</source>
        <translation>{name}：照合に合格</translation>
    </message>
    <message>
        <source>{name}: not proved</source>
        <translation>{name}：照合に不合格</translation>
    </message>
    <message>
        <source>The export was removed: {part} does not give what PyTorch gives. Found was {found}, the bound is {bound}.</source>
        <translation>書き出しを削除しました。{part}の結果が PyTorch と一致しません。実測は {found}、許容値は {bound} です。</translation>
    </message>
    <message>
        <source>the images</source>
        <translation>画像全体</translation>
    </message>
    <message>
        <source>Choose fp32 and export again; it takes more space but rounds less.</source>
        <translation>fp32 を選んでもう一度書き出してください。容量は増えますが、丸めが小さくなります。</translation>
    </message>
    <message>
        <source>Report it with the model&apos;s name: the exporter does not understand this model. Copy report has the details.</source>
        <translation>書き出し機能がこのモデルを正しく扱えていません。モデル名を添えてご報告ください。必要な情報は「結果をコピー」で得られます。</translation>
    </message>
    <message>
        <source>Close other programs, or export on a machine with more memory.</source>
        <translation>ほかのプログラムを閉じるか、メモリの多い PC で書き出してください。</translation>
    </message>
    <message>
        <source>{name}: not exported</source>
        <translation>{name}：書き出せませんでした</translation>
    </message>
    <message>
        <source>a relative RMS error of {value}</source>
        <translation>相対 RMS 誤差 {value}</translation>
    </message>
    <message>
        <source>The largest error of a graph is {error} (RMS, {part}).</source>
        <translation>グラフの誤差は最大で {error}（RMS、{part}）です。</translation>
    </message>
    <message>
        <source>{count} complete images reach at least {psnr} dB.</source>
        <translation>画像 {count} 枚はすべて {psnr} dB 以上でした。</translation>
    </message>
    <message>
        <source>{part} missed its bound.</source>
        <translation>{part}が許容値を超えました。</translation>
    </message>
    <message>
        <source>Images from the same noise, at least {bound} dB required</source>
        <translation>同じノイズからの画像（{bound} dB 以上で合格）</translation>
    </message>
    <message>
        <source>Images from the same noise</source>
        <translation>同じノイズからの画像</translation>
    </message>
    <message>
        <source>With int8 {changed} of {count} images ({share} %) show another concept than PyTorch&apos;s: they are nearer to the image of another prompt than to their own.</source>
        <translation>int8 では {count} 枚中 {changed} 枚（{share} %）が PyTorch と別のものになりました（自分の画像より、別のプロンプトの画像に近いもの）。</translation>
    </message>
</context>
<context>
    <name>ExportRunView</name>
    <message>
        <source>Text encoder</source>
        <translation>テキストエンコーダー</translation>
    </message>
    <message>
        <source>Denoiser</source>
        <translation>デノイザー</translation>
    </message>
    <message>
        <source>VAE decoder</source>
        <translation>VAE デコーダー</translation>
    </message>
    <message>
        <source>VAE encoder</source>
        <translation>VAE エンコーダー</translation>
    </message>
    <message>
        <source>Complete images</source>
        <translation>画像全体</translation>
    </message>
    <message>
        <source>Folder</source>
        <translation>フォルダー</translation>
    </message>
    <message>
        <source>writing the graph</source>
        <translation>グラフを書き出しています</translation>
    </message>
    <message>
        <source>quantizing the weights to eight bits</source>
        <translation>重みを8ビットにしています</translation>
    </message>
    <message>
        <source>comparing it with PyTorch</source>
        <translation>PyTorch と照合しています</translation>
    </message>
    <message>
        <source>drawing with PyTorch</source>
        <translation>PyTorch で描いています</translation>
    </message>
    <message>
        <source>drawing with ONNX</source>
        <translation>ONNX で描いています</translation>
    </message>
    <message>
        <source>hashing every file</source>
        <translation>全ファイルのハッシュを計算しています</translation>
    </message>
    <message>
        <source>done</source>
        <translation>完了</translation>
    </message>
    <message>
        <source>waiting</source>
        <translation>待機中</translation>
    </message>
    <message>
        <source>Stopping; what was written so far is being removed…</source>
        <translation>中止しています。途中まで書いたものを削除しています…</translation>
    </message>
    <message>
        <source>{part}: {deed}</source>
        <translation>{part}：{deed}</translation>
    </message>
    <message>
        <source>Step {step} of {steps}</source>
        <translation>全 {steps} 段階の {step} 番目</translation>
    </message>
</context>
<context>
    <name>FilterBar</name>
    <message>
        <source>Search</source>
        <translation>検索</translation>
    </message>
    <message>
        <source>Search prompts and settings: every word must occur, as in: rain seed:7 steps:20 sampler:euler (Ctrl+F)</source>
        <translation>プロンプトと設定を検索します。すべての語を含むものを探します。例：雨 seed:7 steps:20 sampler:euler（Ctrl+F）</translation>
    </message>
    <message>
        <source>Order</source>
        <translation>並び順</translation>
    </message>
    <message>
        <source>Newest first</source>
        <translation>新しい順</translation>
    </message>
    <message>
        <source>Best rated first</source>
        <translation>評価の高い順</translation>
    </message>
    <message>
        <source>By name</source>
        <translation>名前順</translation>
    </message>
    <message>
        <source>Least rating</source>
        <translation>最低評価</translation>
    </message>
    <message>
        <source>Any rating</source>
        <translation>評価を問わない</translation>
    </message>
    <message>
        <source>{n} and up</source>
        <translation>{n}以上</translation>
    </message>
    <message>
        <source>5 only</source>
        <translation>5のみ</translation>
    </message>
    <message>
        <source>Only starred</source>
        <translation>スターのみ</translation>
    </message>
    <message>
        <source>Folder</source>
        <translation>フォルダー</translation>
    </message>
    <message>
        <source>All folders</source>
        <translation>すべてのフォルダー</translation>
    </message>
    <message>
        <source>Folders</source>
        <translation>フォルダー</translation>
    </message>
    <message>
        <source>Add a folder…</source>
        <translation>フォルダーを追加…</translation>
    </message>
    <message>
        <source>Stop showing this folder</source>
        <translation>このフォルダーを表示しない</translation>
    </message>
    <message>
        <source>Look through the folders again</source>
        <translation>フォルダーを調べ直す</translation>
    </message>
</context>
<context>
    <name>FindingsModel</name>
    <message>
        <source>Severity</source>
        <translation>重さ</translation>
    </message>
    <message>
        <source>File</source>
        <translation>ファイル</translation>
    </message>
    <message>
        <source>Rule</source>
        <translation>規則</translation>
    </message>
    <message>
        <source>Reason</source>
        <translation>理由</translation>
    </message>
    <message>
        <source>refused</source>
        <translation>不可</translation>
    </message>
    <message>
        <source>warning</source>
        <translation>注意</translation>
    </message>
    <message>
        <source>nothing found</source>
        <translation>指摘なし</translation>
    </message>
</context>
<context>
    <name>FindingsPanel</name>
    <message>
        <source>Findings</source>
        <translation>検査の結果</translation>
    </message>
    <message>
        <source>Rule</source>
        <translation>規則</translation>
    </message>
    <message>
        <source>Select all</source>
        <translation>すべて選択</translation>
    </message>
    <message>
        <source>Select every row shown (Ctrl+A)</source>
        <translation>表示中の行をすべて選択（Ctrl+A）</translation>
    </message>
    <message>
        <source>The selected picture</source>
        <translation>選択中の画像</translation>
    </message>
    <message>
        <source>All findings ({count})</source>
        <translation>すべての指摘（{count}）</translation>
    </message>
    <message>
        <source>Every picture</source>
        <translation>すべての画像</translation>
    </message>
</context>
<context>
    <name>FirstRun</name>
    <message>
        <source>Make your first image</source>
        <extracomment>prompts, not texts of the window: the same in every language; the last one shows the template syntax</extracomment>
        <translation>最初の1枚を作りましょう</translation>
    </message>
    <message>
        <source>Choose an example or write your own, then press “Make one now”.</source>
        <translation>例を選ぶか自分で入力して、「今すぐ1枚」を押してください。</translation>
    </message>
</context>
<context>
    <name>GalleryActions</name>
    <message>
        <source>Use these settings</source>
        <translation>この設定を使う</translation>
    </message>
    <message>
        <source>Make variations</source>
        <translation>バリエーションを作る</translation>
    </message>
    <message>
        <source>View</source>
        <translation>表示</translation>
    </message>
    <message>
        <source>Compare two</source>
        <translation>2枚を比べる</translation>
    </message>
    <message>
        <source>Star</source>
        <translation>スター</translation>
    </message>
    <message>
        <source>Copy prompt</source>
        <translation>プロンプトをコピー</translation>
    </message>
    <message>
        <source>Copy image</source>
        <translation>画像をコピー</translation>
    </message>
    <message>
        <source>Open folder</source>
        <translation>フォルダーを開く</translation>
    </message>
    <message>
        <source>Move to the recycle bin</source>
        <translation>ごみ箱に移動</translation>
    </message>
    <message>
        <source>Bring back what was deleted</source>
        <translation>削除した画像を戻す</translation>
    </message>
    <message>
        <source>Rating {n}</source>
        <translation>評価{n}</translation>
    </message>
    <message>
        <source>No rating</source>
        <translation>評価なし</translation>
    </message>
    <message>
        <source>Rate</source>
        <translation>評価</translation>
    </message>
    <message>
        <source>Variations: {prompt}</source>
        <translation>バリエーション：{prompt}</translation>
    </message>
    <message>
        <source>Variations are in the queue, which waits: an earlier run was cut off.</source>
        <translation>バリエーションをキューに追加しました。前回の実行が途中で止まっているため、キューは待機中です。</translation>
    </message>
    <message>
        <source>Go to the queue</source>
        <translation>キューへ</translation>
    </message>
    <message>
        <source>Variations are in the queue and will appear here.</source>
        <translation>バリエーションをキューに追加しました。できあがるとここに表示します。</translation>
    </message>
    <message>
        <source>The folder {path} is no longer there.</source>
        <translation>フォルダー {path} が見つかりません。</translation>
    </message>
    <message>
        <source>No program to show folders was found. The folder is {path}</source>
        <translation>フォルダーを開くソフトが見つかりません。場所：{path}</translation>
    </message>
    <message>
        <source>{count} images could not be moved to the recycle bin; they stay where they are.</source>
        <translation>{count} 枚をごみ箱に移せませんでした。元の場所に残っています。</translation>
    </message>
    <message>
        <source>{count} images could not be brought back.</source>
        <translation>{count}枚を元に戻せませんでした。</translation>
    </message>
    <message>
        <source>The system says: {why}. There may be no recycle bin on that drive.</source>
        <translation>システムの説明：{why}。このドライブにはごみ箱がない可能性があります。</translation>
    </message>
    <message>
        <source>The files were no longer there.</source>
        <translation>ファイルはすでにありませんでした。</translation>
    </message>
    <message>
        <source>Moved to the recycle bin: {count}</source>
        <translation>ごみ箱に移動しました：{count}枚</translation>
    </message>
    <message>
        <source>Undo</source>
        <translation>元に戻す</translation>
    </message>
</context>
<context>
    <name>GalleryFolders</name>
    <message>
        <source>Show the images of a folder</source>
        <translation>フォルダーの画像を表示</translation>
    </message>
</context>
<context>
    <name>GalleryPage</name>
    <message>
        <source>The list of images was damaged and has been rebuilt. Stars and ratings are in {path}.</source>
        <translation>画像の一覧が壊れていたため作り直しています。スターと評価は{path}に残っています。</translation>
    </message>
    <message>
        <source>The list of images cannot be used ({why}).</source>
        <translation>画像の一覧を使えません（{why}）。</translation>
    </message>
    <message>
        <source>It could not be done ({why}).</source>
        <translation>実行できませんでした（{why}）。</translation>
    </message>
</context>
<context>
    <name>GalleryView</name>
    <message>
        <source>Images</source>
        <translation>画像</translation>
    </message>
</context>
<context>
    <name>ImagesModel</name>
    <message>
        <source>starred</source>
        <translation>スター付き</translation>
    </message>
    <message>
        <source>rating {n} of 5</source>
        <translation>評価 5段階中{n}</translation>
    </message>
</context>
<context>
    <name>ImportPanel</name>
    <message>
        <source>It has no records of licences yet. Import copies its pictures into a dataset folder and writes down where each comes from.</source>
        <translation>ライセンスの記録がまだありません。取り込むと、画像をデータセットのフォルダーに写し、それぞれの出どころを記録します。</translation>
    </message>
    <message>
        <source>Written as</source>
        <translation>形式</translation>
    </message>
    <message>
        <source>find out</source>
        <translation>自動で判別</translation>
    </message>
    <message>
        <source>pictures with .txt captions</source>
        <translation>画像と .txt の説明文</translation>
    </message>
    <message>
        <source>table (CSV, TSV, JSONL, Parquet)</source>
        <translation>表（CSV、TSV、JSONL、Parquet）</translation>
    </message>
    <message>
        <source>Licence for pictures that name none</source>
        <translation>記載のない画像のライセンス</translation>
    </message>
    <message>
        <source>Creator</source>
        <translation>作者</translation>
    </message>
    <message>
        <source>Licence address</source>
        <translation>ライセンスの URL</translation>
    </message>
    <message>
        <source>Source address</source>
        <translation>出典の URL</translation>
    </message>
    <message>
        <source>Dataset folder</source>
        <translation>データセットのフォルダー</translation>
    </message>
    <message>
        <source>Link to the pictures instead of copying them</source>
        <translation>写さずにリンクする</translation>
    </message>
    <message>
        <source>Numbers in a licence column are those of Flickr</source>
        <translation>ライセンスの列の番号は Flickr のもの</translation>
    </message>
    <message>
        <source>Import</source>
        <translation>取り込む</translation>
    </message>
    <message>
        <source>{found} files and rows: {taken} images are in, {read} read as records, {left} left out.</source>
        <translation>ファイルと行 {found} 件のうち、画像 {taken} 枚が入り、{read} 件を記録として読み、{left} 件は取り込みませんでした。</translation>
    </message>
    <message>
        <source>{count} images: the licence is stated in different ways, or not understood.</source>
        <translation>{count} 枚は、ライセンスの記載が食い違っているか、解釈できません。</translation>
    </message>
    <message>
        <source>{count} left out: {why} ({names})</source>
        <translation>取り込まなかったもの {count} 件: {why}（{names}）</translation>
    </message>
    <message>
        <source>Choose where the dataset is written.</source>
        <translation>データセットの場所を入れてください。</translation>
    </message>
    <message>
        <source>Say under which licence these pictures are. It is never guessed.</source>
        <translation>画像のライセンスを入れてください。推測はしません。</translation>
    </message>
</context>
<context>
    <name>LoraField</name>
    <message>
        <source>Add a LoRA</source>
        <translation>LoRAを追加</translation>
    </message>
    <message>
        <source>Added into the weights</source>
        <translation>重みに合成する</translation>
    </message>
    <message>
        <source>Faster. Otherwise LoRAs run beside the weights.</source>
        <translation>速くなります。オフの場合は重みと並べて計算します。</translation>
    </message>
    <message>
        <source>Add a LoRA…</source>
        <translation>LoRAを追加…</translation>
    </message>
    <message>
        <source>Other file…</source>
        <translation>ほかのファイル…</translation>
    </message>
    <message>
        <source>Look again</source>
        <translation>もう一度調べる</translation>
    </message>
    <message>
        <source>LoRAs lie in {folder}; a .safetensors file can also be dropped here.</source>
        <translation>LoRAの置き場所：{folder}。.safetensorsファイルをここへドロップすることもできます。</translation>
    </message>
    <message>
        <source>Strength of {name}</source>
        <translation>{name}の強さ</translation>
    </message>
    <message>
        <source>Strength, 0 to 2</source>
        <translation>強さ（0〜2）</translation>
    </message>
    <message>
        <source>Remove {name}</source>
        <translation>{name}を外す</translation>
    </message>
    <message>
        <source>Choose a LoRA file</source>
        <translation>LoRAファイルを選ぶ</translation>
    </message>
</context>
<context>
    <name>LoraFolders</name>
    <message>
        <source>LoRA folders</source>
        <translation>LoRAの場所</translation>
    </message>
    <message>
        <source>Where to look for the LoRAs of the images, beside the program&apos;s own LoRA folder</source>
        <translation>画像に使われたLoRAを、アプリのLoRAフォルダーのほかに探す場所</translation>
    </message>
    <message>
        <source>A folder of LoRAs</source>
        <translation>LoRAのフォルダー</translation>
    </message>
    <message>
        <source>Add a folder of LoRAs…</source>
        <translation>LoRAのフォルダーを追加…</translation>
    </message>
    <message>
        <source>Forget: {folder}</source>
        <translation>一覧から外す：{folder}</translation>
    </message>
</context>
<context>
    <name>LossPlot</name>
    <message>
        <source>Loss</source>
        <translation>損失</translation>
    </message>
    <message>
        <source>training</source>
        <translation>学習</translation>
    </message>
    <message>
        <source>held out</source>
        <translation>評価用</translation>
    </message>
    <message>
        <source>step {step}</source>
        <translation>ステップ {step}</translation>
    </message>
</context>
<context>
    <name>MainWindow</name>
    <message>
        <source>Go to: {page}</source>
        <translation>移動：{page}</translation>
    </message>
    <message>
        <source>Find an action</source>
        <translation>操作を探す</translation>
    </message>
    <message>
        <source>Keyboard shortcuts</source>
        <translation>キーボードショートカット</translation>
    </message>
    <message>
        <source>Close the window</source>
        <translation>ウィンドウを閉じる</translation>
    </message>
    <message>
        <source>Light theme</source>
        <translation>ライトテーマ</translation>
    </message>
    <message>
        <source>Dark theme</source>
        <translation>ダークテーマ</translation>
    </message>
    <message>
        <source>Type what you want to do</source>
        <translation>したいことを入力してください</translation>
    </message>
    <message>
        <source>Search the shortcuts</source>
        <translation>ショートカットを探す</translation>
    </message>
    <message>
        <source>Restart the engine</source>
        <translation>エンジンを再起動</translation>
    </message>
    <message>
        <source>The engine is working. Close the window again to stop it after the current image; nothing that waits is lost.</source>
        <translation>生成中です。もう一度閉じると、今の画像ができたところで止まります。待機中の分は失われません。</translation>
    </message>
    <message>
        <source>Leave it working and close</source>
        <translation>生成を続けたまま閉じる</translation>
    </message>
</context>
<context>
    <name>MetricLabels</name>
    <message>
        <source>Japanese</source>
        <translation>日本語</translation>
    </message>
    <message>
        <source>English</source>
        <translation>英語</translation>
    </message>
    <message>
        <source>Both</source>
        <translation>両方</translation>
    </message>
    <message>
        <source>Top-1</source>
        <translation>1位正解率</translation>
    </message>
    <message>
        <source>Top-5</source>
        <translation>5位以内正解率</translation>
    </message>
    <message>
        <source>Cosine</source>
        <translation>余弦類似度</translation>
    </message>
    <message>
        <source>Share of prompts naming one known concept whose image is nearest to a true drawing of it. More is better. It says nothing about other concepts.</source>
        <translation>既知のもの一つを指すプロンプトのうち、描いた画像がそのものの正しい絵に最も近かった割合です。高いほどよく、ほかのものについては何も示しません。</translation>
    </message>
    <message>
        <source>Share of prompts whose concept is among the five nearest. More is better.</source>
        <translation>指示したものが近い順に5位以内に入った割合です。高いほどよい値です。</translation>
    </message>
    <message>
        <source>How well image and prompt agree for this encoder, 2.5 times the cosine. More is better. Scores of different encoders cannot be compared.</source>
        <translation>このエンコーダーから見た画像とプロンプトの一致度（余弦類似度の2.5倍）です。高いほどよく、異なるエンコーダーの値は比べられません。</translation>
    </message>
    <message>
        <source>The agreement of image and prompt itself, from -1 to 1. More is better.</source>
        <translation>画像とプロンプトの一致度そのもの（-1から1）です。高いほどよい値です。</translation>
    </message>
    <message>
        <source>Distance to your reference images in this encoder, without bias. 0 is none; less is better.</source>
        <translation>このエンコーダーで測った参照画像との偏りのない距離です。0なら差がなく、小さいほどよい値です。</translation>
    </message>
    <message>
        <source>Distance to your reference images in this encoder, with fewer assumptions than FID. 0 is none; less is better.</source>
        <translation>このエンコーダーで測った参照画像との距離で、FIDより仮定が少ないものです。0なら差がなく、小さいほどよい値です。</translation>
    </message>
    <message>
        <source>An older distance to your reference images that depends on how many there are. Less is better.</source>
        <translation>参照画像との古くからの距離で、枚数に左右されます。小さいほどよい値です。</translation>
    </message>
    <message>
        <source>95 % interval over prompts and seeds: {interval}. From {n} images.</source>
        <translation>プロンプトとシードについての95 %区間: {interval}。画像 {n} 枚から。</translation>
    </message>
    <message>
        <source>95 % interval over prompts and seeds: {interval}. From {n} images against {reference}.</source>
        <translation>プロンプトとシードについての95 %区間: {interval}。画像 {n} 枚と参照画像 {reference} 枚から。</translation>
    </message>
    <message>
        <source>Figure</source>
        <translation>指標</translation>
    </message>
    <message>
        <source>How often chance alone would give a difference this large. Below 0.05 is called significant; of twenty, one is so by chance.</source>
        <translation>偶然だけでこれほどの差が出る割合です。0.05未満を有意としますが、20個に1個は偶然そうなります。</translation>
    </message>
    <message>
        <source>no clear difference</source>
        <translation>明らかな差なし</translation>
    </message>
    <message>
        <source>better</source>
        <translation>良い</translation>
    </message>
    <message>
        <source>worse</source>
        <translation>悪い</translation>
    </message>
    <message>
        <source>Language</source>
        <translation>言語</translation>
    </message>
    <message>
        <source>Difference</source>
        <translation>差</translation>
    </message>
    <message>
        <source>Verdict</source>
        <translation>判定</translation>
    </message>
    <message>
        <source>No {measure}: {why}.</source>
        <translation>{measure} は出せません: {why}。</translation>
    </message>
</context>
<context>
    <name>ModelChoice</name>
    <message>
        <source>Model</source>
        <translation>モデル</translation>
    </message>
    <message>
        <source>{name} (not found)</source>
        <translation>{name}（見つかりません）</translation>
    </message>
    <message>
        <source>Other folder…</source>
        <translation>ほかのフォルダー…</translation>
    </message>
    <message>
        <source>Choose a model folder</source>
        <translation>モデルのフォルダーを選ぶ</translation>
    </message>
</context>
<context>
    <name>ModelDetail</name>
    <message>
        <source>Use for new pictures</source>
        <translation>新しい画像に使う</translation>
    </message>
    <message>
        <source>Verify</source>
        <translation>点検</translation>
    </message>
    <message>
        <source>Read every file from end to end and check it</source>
        <translation>すべてのファイルを最後まで読んで点検します</translation>
    </message>
    <message>
        <source>Convert pickled shards…</source>
        <translation>pickle形式を変換…</translation>
    </message>
    <message>
        <source>Open folder</source>
        <translation>フォルダーを開く</translation>
    </message>
    <message>
        <source>Text encoder folder…</source>
        <translation>テキストエンコーダーのフォルダー…</translation>
    </message>
    <message>
        <source>VAE folder…</source>
        <translation>VAEのフォルダー…</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>取り消す</translation>
    </message>
    <message>
        <source>Progress</source>
        <translation>進み具合</translation>
    </message>
    <message>
        <source>No model is selected</source>
        <translation>モデルが選ばれていません</translation>
    </message>
    <message>
        <source>Reading the files (only the first time)…</source>
        <translation>ファイルを読んでいます（初回のみ）…</translation>
    </message>
    <message>
        <source>They can be turned into safetensors here.</source>
        <translation>ここでsafetensors形式に変換できます。</translation>
    </message>
    <message>
        <source>Choose its folder here; it is remembered for this model.</source>
        <translation>ここでフォルダーを選んでください。このモデル用に記憶します。</translation>
    </message>
    <message>
        <source>Pictures</source>
        <translation>画像</translation>
    </message>
    <message>
        <source>{side} px, sides in multiples of {multiple}, captions up to {tokens} tokens</source>
        <translation>{side} px、辺は{multiple}の倍数、プロンプトは{tokens}トークンまで</translation>
    </message>
    <message>
        <source>Denoiser</source>
        <translation>デノイザー</translation>
    </message>
    <message>
        <source>Text encoder</source>
        <translation>テキストエンコーダー</translation>
    </message>
    <message>
        <source>Tokenizer</source>
        <translation>トークナイザー</translation>
    </message>
    <message>
        <source>{count} parameters</source>
        <translation>パラメーター数 {count}</translation>
    </message>
    <message>
        <source>Licences</source>
        <translation>ライセンス</translation>
    </message>
    <message>
        <source>none was found in its folders</source>
        <translation>フォルダー内に見つかりません</translation>
    </message>
    <message>
        <source>fits</source>
        <translation>収まります</translation>
    </message>
    <message>
        <source>does not fit</source>
        <translation>収まりません</translation>
    </message>
    <message>
        <source>about {need}; memory: {ram}</source>
        <translation>推定 {need}（メモリ：{ram}）</translation>
    </message>
    <message>
        <source>about {need}; memory: {ram}; graphics card: {gpu}</source>
        <translation>推定 {need}（メモリ：{ram}、グラフィックスカード：{gpu}）</translation>
    </message>
    <message>
        <source>Memory, {dtype}</source>
        <translation>メモリ（{dtype}）</translation>
    </message>
    <message>
        <source>Checking every number…</source>
        <translation>すべての数値を点検しています…</translation>
    </message>
    <message>
        <source>{name} is intact: {count} files were read.</source>
        <translation>{name}は正常です（{count}ファイルを点検しました）。</translation>
    </message>
    <message>
        <source>Text encoder folder</source>
        <translation>テキストエンコーダーのフォルダー</translation>
    </message>
    <message>
        <source>VAE folder</source>
        <translation>VAEのフォルダー</translation>
    </message>
    <message>
        <source>Looking at the parts…</source>
        <translation>部品を調べています…</translation>
    </message>
    <message>
        <source>Convert pickled weights</source>
        <translation>pickle形式の重みを変換</translation>
    </message>
    <message>
        <source>The weights in {folder} are pickled. They are read here without running anything in them, and written beside as safetensors; this takes as much disk space again. The old files stay. Convert them only if you trust where they come from.</source>
        <translation>{folder}の重みはpickle形式です。中のプログラムを実行せずに読み取り、同じ場所にsafetensors形式で書き出します。同じだけのディスク容量が必要で、元のファイルは残ります。入手先を信頼できる場合にだけ変換してください。</translation>
    </message>
    <message>
        <source>Convert</source>
        <translation>変換する</translation>
    </message>
    <message>
        <source>Converting…</source>
        <translation>変換しています…</translation>
    </message>
</context>
<context>
    <name>ModelsModel</name>
    <message>
        <source>Model</source>
        <translation>モデル</translation>
    </message>
    <message>
        <source>Where</source>
        <translation>場所</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>サイズ</translation>
    </message>
    <message>
        <source>State</source>
        <translation>状態</translation>
    </message>
    <message>
        <source>bundled</source>
        <translation>付属</translation>
    </message>
    <message>
        <source>your folder</source>
        <translation>モデル用フォルダー</translation>
    </message>
    <message>
        <source>Hugging Face cache</source>
        <translation>Hugging Faceのキャッシュ</translation>
    </message>
    <message>
        <source>added folder</source>
        <translation>追加したフォルダー</translation>
    </message>
    <message>
        <source>ready</source>
        <translation>使えます</translation>
    </message>
    <message>
        <source>ready, used for new pictures</source>
        <translation>使用中</translation>
    </message>
    <message>
        <source>not ready</source>
        <translation>使えません</translation>
    </message>
    <message>
        <source>a part is missing</source>
        <translation>部品が不足</translation>
    </message>
    <message>
        <source>to be converted</source>
        <translation>変換が必要</translation>
    </message>
    <message>
        <source>damaged</source>
        <translation>破損</translation>
    </message>
</context>
<context>
    <name>ModelsPage</name>
    <message>
        <source>Models</source>
        <translation>モデル</translation>
    </message>
    <message>
        <source>No model was found on this machine. Get one, or add a folder that holds one.</source>
        <translation>モデルが見つかりません。入手するか、モデルのあるフォルダーを追加してください。</translation>
    </message>
    <message>
        <source>Get a model…</source>
        <translation>モデルを入手…</translation>
    </message>
    <message>
        <source>Add folder…</source>
        <translation>フォルダーを追加…</translation>
    </message>
    <message>
        <source>Forget folder</source>
        <translation>一覧から外す</translation>
    </message>
    <message>
        <source>Take this folder off the list; its files stay</source>
        <translation>このフォルダーを一覧から外します。ファイルは残ります</translation>
    </message>
    <message>
        <source>Look again (F5)</source>
        <translation>もう一度調べる（F5）</translation>
    </message>
    <message>
        <source>Look again</source>
        <translation>もう一度調べる</translation>
    </message>
    <message>
        <source>Add a model folder</source>
        <translation>モデルのフォルダーを追加</translation>
    </message>
    <message>
        <source>{name} is no longer listed.</source>
        <translation>{name}を一覧から外しました。</translation>
    </message>
    <message>
        <source>Undo</source>
        <translation>元に戻す</translation>
    </message>
    <message>
        <source>The model is here.</source>
        <translation>モデルを入手しました。</translation>
    </message>
</context>
<context>
    <name>NodesButton</name>
    <message>
        <source>{well} of {count} nodes</source>
        <translation>{count} ノード中 {well} が稼働</translation>
    </message>
    <message>
        <source>1 node</source>
        <translation>1 ノード</translation>
    </message>
    <message>
        <source>{count} nodes</source>
        <translation>{count} ノード</translation>
    </message>
    <message>
        <source>{count} images/h</source>
        <translation>{count} 枚/時</translation>
    </message>
    <message>
        <source>The machines of the cluster</source>
        <translation>クラスターのマシン</translation>
    </message>
    <message>
        <source>The machines of the cluster: {told}</source>
        <translation>クラスターのマシン: {told}</translation>
    </message>
</context>
<context>
    <name>NodesModel</name>
    <message>
        <source>Machine</source>
        <translation>マシン</translation>
    </message>
    <message>
        <source>Device</source>
        <translation>デバイス</translation>
    </message>
    <message>
        <source>Workers</source>
        <translation>ワーカー数</translation>
    </message>
    <message>
        <source>Images/h</source>
        <translation>枚/時</translation>
    </message>
    <message>
        <source>State</source>
        <translation>状態</translation>
    </message>
    <message>
        <source>What is wrong</source>
        <translation>問題点</translation>
    </message>
    <message>
        <source>loading the model</source>
        <translation>モデルを読み込み中</translation>
    </message>
    <message>
        <source>ready</source>
        <translation>準備完了</translation>
    </message>
    <message>
        <source>lost</source>
        <translation>接続が切れました</translation>
    </message>
    <message>
        <source>takes no part</source>
        <translation>参加できません</translation>
    </message>
</context>
<context>
    <name>NotificationBar</name>
    <message>
        <source>Copy details</source>
        <translation>詳細をコピー</translation>
    </message>
    <message>
        <source>Copy the details of this error, to send them to somebody</source>
        <translation>このエラーの詳細をコピーして、ほかの人に見せられるようにします</translation>
    </message>
    <message>
        <source>Close the notice</source>
        <translation>お知らせを閉じる</translation>
    </message>
</context>
<context>
    <name>OpenActions</name>
    <message>
        <source>{path} is not there any more.</source>
        <translation>{path}はもうありません。</translation>
    </message>
</context>
<context>
    <name>PairRow</name>
    <message>
        <source>Difference, 16 times as bright</source>
        <translation>差（明るさ16倍）</translation>
    </message>
    <message>
        <source>seed {seed}</source>
        <translation>シード {seed}</translation>
    </message>
    <message>
        <source>good</source>
        <translation>正常</translation>
    </message>
    <message>
        <source>below {bound} dB</source>
        <translation>{bound} dB 未満</translation>
    </message>
    <message>
        <source>shows another concept</source>
        <translation>別のものが描かれています</translation>
    </message>
</context>
<context>
    <name>PairsModel</name>
    <message>
        <source>seed {seed}</source>
        <translation>シード {seed}</translation>
    </message>
    <message>
        <source>the requested concept ranks {place}</source>
        <translation>指示したものは {place} 番目に近い</translation>
    </message>
    <message>
        <source>cosine {value} [{encoder}]</source>
        <translation>余弦類似度 {value} [{encoder}]</translation>
    </message>
</context>
<context>
    <name>PartsField</name>
    <message>
        <source>Text encoder folder</source>
        <translation>テキストエンコーダーのフォルダー</translation>
    </message>
    <message>
        <source>VAE folder</source>
        <translation>VAEのフォルダー</translation>
    </message>
    <message>
        <source>Choose the text encoder folder</source>
        <translation>テキストエンコーダーのフォルダーを選ぶ</translation>
    </message>
    <message>
        <source>Choose the VAE folder</source>
        <translation>VAE のフォルダーを選ぶ</translation>
    </message>
</context>
<context>
    <name>PolicyField</name>
    <message>
        <source>Policy</source>
        <translation>方針</translation>
    </message>
    <message>
        <source>commercial use</source>
        <translation>商用</translation>
    </message>
    <message>
        <source>non-commercial use</source>
        <translation>非商用</translation>
    </message>
    <message>
        <source>policy file…</source>
        <translation>方針ファイル…</translation>
    </message>
    <message>
        <source>Choose a policy file</source>
        <translation>方針ファイルを選ぶ</translation>
    </message>
</context>
<context>
    <name>PrecisionField</name>
    <message>
        <source>Four bytes a number. The same pictures as PyTorch; the largest files.</source>
        <translation>数値あたり4バイト。PyTorch と同じ画像になります。ファイルは最も大きくなります。</translation>
    </message>
    <message>
        <source>Two bytes a number. Half the size, for graphics cards; pictures differ by rounding.</source>
        <translation>数値あたり2バイト。大きさは半分で、GPU 向けです。画像は丸めの分だけ変わります。</translation>
    </message>
    <message>
        <source>One byte a weight of text encoder and denoiser. Smallest, fastest on processors; pictures differ visibly, by how much is measured.</source>
        <translation>テキストエンコーダーとデノイザーの重みあたり1バイト。最も小さく、CPU では最も速くなります。画像は目に見えて変わり、その差を測ります。</translation>
    </message>
</context>
<context>
    <name>PresetBar</name>
    <message>
        <source>Preset</source>
        <translation>プリセット</translation>
    </message>
    <message>
        <source>Save as a preset</source>
        <translation>プリセットとして保存</translation>
    </message>
    <message>
        <source>Save these settings as a preset</source>
        <translation>この設定をプリセットとして保存</translation>
    </message>
    <message>
        <source>Delete the preset</source>
        <translation>プリセットを削除</translation>
    </message>
    <message>
        <source>Name of the preset</source>
        <translation>プリセットの名前</translation>
    </message>
    <message>
        <source>Save</source>
        <translation>保存</translation>
    </message>
    <message>
        <source>Own settings</source>
        <translation>独自の設定</translation>
    </message>
    <message>
        <source>A name needs at least one letter, and none of {signs}</source>
        <translation>名前は1文字以上で、{signs}は使えません</translation>
    </message>
    <message>
        <source>The preset {name} was deleted</source>
        <translation>プリセット「{name}」を削除しました</translation>
    </message>
    <message>
        <source>Undo</source>
        <translation>元に戻す</translation>
    </message>
</context>
<context>
    <name>PreviewModel</name>
    <message>
        <source>step {step}</source>
        <translation>ステップ {step}</translation>
    </message>
</context>
<context>
    <name>PreviewStrip</name>
    <message>
        <source>Previews</source>
        <translation>プレビュー</translation>
    </message>
</context>
<context>
    <name>ProvenanceFields</name>
    <message>
        <source>In clear</source>
        <translation>そのまま記録</translation>
    </message>
    <message>
        <source>Only its hash</source>
        <translation>ハッシュだけを記録</translation>
    </message>
    <message>
        <source>Say nothing about it</source>
        <translation>何も示さない</translation>
    </message>
    <message>
        <source>Allowed</source>
        <translation>許可する</translation>
    </message>
    <message>
        <source>Not allowed</source>
        <translation>許可しない</translation>
    </message>
    <message>
        <source>Only under the conditions below</source>
        <translation>下の「権利」に書いた条件でのみ許可する</translation>
    </message>
    <message>
        <source>Restart the engine</source>
        <translation>エンジンを再起動</translation>
    </message>
    <message>
        <source>The running engine keeps the earlier settings until it is restarted.</source>
        <translation>動作中のエンジンには、再起動するまで以前の設定が使われます。</translation>
    </message>
    <message>
        <source>Sign every image with Content Credentials (C2PA)</source>
        <translation>すべての画像にコンテンツ認証情報（C2PA）で署名する</translation>
    </message>
    <message>
        <source>Give every image a score for nudity (OpenNSFW) before it is saved</source>
        <translation>保存する前に、すべての画像に露出度のスコアを付ける（OpenNSFW）</translation>
    </message>
    <message>
        <source>Signature</source>
        <translation>署名</translation>
    </message>
    <message>
        <source>Prompt in the file</source>
        <translation>ファイル内のプロンプト</translation>
    </message>
    <message>
        <source>Training by others</source>
        <translation>第三者による学習</translation>
    </message>
    <message>
        <source>Safety score</source>
        <translation>安全スコア</translation>
    </message>
    <message>
        <source>Studio</source>
        <translation>制作者名</translation>
    </message>
    <message>
        <source>Creator</source>
        <translation>作者</translation>
    </message>
    <message>
        <source>Rights</source>
        <translation>権利</translation>
    </message>
    <message>
        <source>Others can verify that an image is unchanged since it was made. The certificate is created on this computer at first use; it proves no name to anybody else.</source>
        <translation>画像が作られたときのままであることを、ほかの人も確かめられます。証明書は最初の使用時にこのコンピューターで作られます。名前が本物であることの証明にはなりません。</translation>
    </message>
    <message>
        <source>The name in the certificate; everybody can read it in every image.</source>
        <translation>証明書に記す名前です。どの画像からも誰でも読めます。</translation>
    </message>
    <message>
        <source>A sentence such as a licence or conditions; written into the file as it is.</source>
        <translation>ライセンスや利用条件などの文。そのままファイルに書き込まれます。</translation>
    </message>
    <message>
        <source>Own certificate</source>
        <translation>自分の証明書</translation>
    </message>
    <message>
        <source>Choose the certificate</source>
        <translation>証明書を選ぶ</translation>
    </message>
    <message>
        <source>Certificate chain, PEM</source>
        <translation>証明書チェーン（PEM）</translation>
    </message>
    <message>
        <source>Its private key</source>
        <translation>秘密鍵</translation>
    </message>
    <message>
        <source>Choose the private key</source>
        <translation>秘密鍵を選ぶ</translation>
    </message>
    <message>
        <source>Private key without a password, PEM</source>
        <translation>パスワードのない秘密鍵（PEM）</translation>
    </message>
    <message>
        <source>Choose…</source>
        <translation>選ぶ…</translation>
    </message>
    <message>
        <source>Nobody can read the prompt in the file; but nobody, you included, can make the image again from the file alone.</source>
        <translation>ファイルからプロンプトは読めません。そのかわり、ご自身を含め誰も、このファイルだけでは同じ画像を作り直せません。</translation>
    </message>
    <message>
        <source>Everybody who gets the file can read the prompt and make the image again.</source>
        <translation>ファイルを受け取った人は誰でも、プロンプトを読み、同じ画像を作れます。</translation>
    </message>
    <message>
        <source>The score is in the image&apos;s recipe, from 0 to 1; no image is withheld or changed because of it. It is computed on this machine.</source>
        <translation>スコアは 0 から 1 で、画像のレシピに記録されます。画像が保留されたり変更されたりすることはありません。計算はこのマシンの中だけで行います。</translation>
    </message>
    <message>
        <source>Images are signed as {name}.</source>
        <translation>{name}の名で署名します。</translation>
    </message>
    <message>
        <source>The model for it is not installed. Install it with: {command}</source>
        <translation>このためのモデルが入っていません。次のコマンドで入れられます: {command}</translation>
    </message>
    <message>
        <source>The certificate and its key belong together: choose both, or empty both.</source>
        <translation>証明書と秘密鍵は対で必要です。両方を選ぶか、両方を空にしてください。</translation>
    </message>
    <message>
        <source>Trying the certificate…</source>
        <translation>証明書を確かめています…</translation>
    </message>
</context>
<context>
    <name>ProvenancePanel</name>
    <message>
        <source>Verify</source>
        <translation>検証</translation>
    </message>
    <message>
        <source>See everything known about it on the Verify page</source>
        <translation>分かることのすべてを検証の画面で見る</translation>
    </message>
    <message>
        <source>Provenance</source>
        <translation>来歴</translation>
    </message>
    <message>
        <source>Licences of its training images: {licences}</source>
        <translation>学習画像のライセンス：{licences}</translation>
    </message>
    <message>
        <source>Checking…</source>
        <translation>確かめています…</translation>
    </message>
</context>
<context>
    <name>QueueBar</name>
    <message>
        <source>Pause the queue and start</source>
        <translation>キューを止めて開始</translation>
    </message>
    <message>
        <source>Start when the queue is empty</source>
        <translation>キューが空になったら開始</translation>
    </message>
    <message>
        <source>Not now</source>
        <translation>今はしない</translation>
    </message>
    <message>
        <source>The queue is making images on the same device.</source>
        <translation>同じ装置でキューが画像を作っています。</translation>
    </message>
</context>
<context>
    <name>QueueCommands</name>
    <message>
        <source>Pause or go on with the queue</source>
        <translation>キューを一時停止／再開</translation>
    </message>
    <message>
        <source>Retry failed</source>
        <translation>失敗分を再試行</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>取り消す</translation>
    </message>
    <message>
        <source>Cancel the selected</source>
        <translation>選択分を取り消す</translation>
    </message>
    <message>
        <source>Pause job</source>
        <translation>ジョブを一時停止</translation>
    </message>
    <message>
        <source>Pause the selected jobs</source>
        <translation>選んだジョブを一時停止</translation>
    </message>
    <message>
        <source>Resume job</source>
        <translation>ジョブを再開</translation>
    </message>
    <message>
        <source>Resume the selected jobs</source>
        <translation>選んだジョブを再開</translation>
    </message>
    <message>
        <source>Move up</source>
        <translation>上へ</translation>
    </message>
    <message>
        <source>Move the selected jobs up</source>
        <translation>選んだジョブを上へ</translation>
    </message>
    <message>
        <source>Move down</source>
        <translation>下へ</translation>
    </message>
    <message>
        <source>Move the selected jobs down</source>
        <translation>選んだジョブを下へ</translation>
    </message>
    <message>
        <source>Raise priority</source>
        <translation>優先度を上げる</translation>
    </message>
    <message>
        <source>Lower priority</source>
        <translation>優先度を下げる</translation>
    </message>
    <message>
        <source>{count} waiting image(s) changed.</source>
        <translation>待機中の{count}枚を変更しました。</translation>
    </message>
    <message>
        <source>Rename job</source>
        <translation>ジョブの名前を変更</translation>
    </message>
    <message>
        <source>Duplicate job</source>
        <translation>ジョブを複製</translation>
    </message>
    <message>
        <source>Open folder</source>
        <translation>フォルダーを開く</translation>
    </message>
    <message>
        <source>Copy prompt</source>
        <translation>プロンプトをコピー</translation>
    </message>
    <message>
        <source>Copy error details</source>
        <translation>エラーの詳細をコピー</translation>
    </message>
    <message>
        <source>Remove finished from the list</source>
        <translation>完了分を一覧から外す</translation>
    </message>
    <message>
        <source>Remove failed from the list</source>
        <translation>失敗分を一覧から外す</translation>
    </message>
    <message>
        <source>Remove cancelled from the list</source>
        <translation>取り消した分を一覧から外す</translation>
    </message>
    <message>
        <source>Remove selected from the list</source>
        <translation>選択分を一覧から外す</translation>
    </message>
    <message>
        <source>Search prompts</source>
        <translation>プロンプトを検索</translation>
    </message>
    <message>
        <source>{count} images were cancelled.</source>
        <translation>{count}枚を取り消しました。</translation>
    </message>
    <message>
        <source>Copy of {name}</source>
        <translation>{name}のコピー</translation>
    </message>
    <message>
        <source>{count} were removed from the list; the files stay.</source>
        <translation>{count}件を一覧から外しました。ファイルは残っています。</translation>
    </message>
    <message>
        <source>Undo</source>
        <translation>元に戻す</translation>
    </message>
    <message>
        <source>Retry failed images: the selected, or all</source>
        <translation>失敗した画像を再試行（選択分、なければすべて）</translation>
    </message>
    <message>
        <source>Change waiting images…</source>
        <translation>待機中の画像を変更…</translation>
    </message>
    <message>
        <source>Open image</source>
        <translation>画像を開く</translation>
    </message>
    <message>
        <source>Open image (Enter)</source>
        <translation>画像を開く（Enter）</translation>
    </message>
    <message>
        <source>Undo removing or cancelling</source>
        <translation>削除や取り消しを元に戻す</translation>
    </message>
    <message>
        <source>Nothing was removed: what is still waiting or running has to be cancelled first.</source>
        <translation>何も外していません。待機中や生成中のものは、先に取り消してください。</translation>
    </message>
    <message>
        <source>{count} are on the list again.</source>
        <translation>{count}件を一覧に戻しました。</translation>
    </message>
    <message>
        <source>{count} wait again.</source>
        <translation>{count}枚を待機に戻しました。</translation>
    </message>
    <message>
        <source>There is nothing to undo.</source>
        <translation>元に戻す操作はありません。</translation>
    </message>
</context>
<context>
    <name>QueueLabels</name>
    <message>
        <source>Name or prompt</source>
        <translation>名前またはプロンプト</translation>
    </message>
    <message>
        <source>Settings</source>
        <translation>設定</translation>
    </message>
    <message>
        <source>Progress</source>
        <translation>進み具合</translation>
    </message>
    <message>
        <source>Time left</source>
        <translation>残り時間</translation>
    </message>
    <message>
        <source>Attempts</source>
        <translation>試行回数</translation>
    </message>
    <message>
        <source>Error</source>
        <translation>エラー</translation>
    </message>
    <message>
        <source>paused</source>
        <translation>一時停止中</translation>
    </message>
    <message>
        <source>seed {seed}</source>
        <translation>シード {seed}</translation>
    </message>
    <message>
        <source>{steps} steps</source>
        <translation>{steps}ステップ</translation>
    </message>
    <message>
        <source>step {step}/{steps}</source>
        <translation>ステップ {step}/{steps}</translation>
    </message>
    <message>
        <source>priority {number}</source>
        <translation>優先度 {number}</translation>
    </message>
    <message>
        <source>{count} failed</source>
        <translation>失敗 {count}枚</translation>
    </message>
    <message>
        <source>about {minutes} m</source>
        <translation>推定 {minutes}分</translation>
    </message>
    <message>
        <source>about {hours} h {minutes} m</source>
        <translation>推定 {hours}時間{minutes}分</translation>
    </message>
</context>
<context>
    <name>QueuePanel</name>
    <message>
        <source>Preview</source>
        <translation>プレビュー</translation>
    </message>
    <message>
        <source>The image being generated appears here.</source>
        <translation>生成中の画像がここに表示されます。</translation>
    </message>
    <message>
        <source>Show only</source>
        <translation>絞り込み</translation>
    </message>
    <message>
        <source>Show only images in this state</source>
        <translation>この状態の画像だけを表示</translation>
    </message>
    <message>
        <source>all</source>
        <translation>すべて</translation>
    </message>
    <message>
        <source>Search prompts</source>
        <translation>プロンプトを検索</translation>
    </message>
    <message>
        <source>Search prompts (Ctrl+F)</source>
        <translation>プロンプトを検索（Ctrl+F）</translation>
    </message>
    <message>
        <source>step {step}/{steps}</source>
        <translation>ステップ {step}/{steps}</translation>
    </message>
    <message>
        <source>seed {seed}</source>
        <translation>シード {seed}</translation>
    </message>
</context>
<context>
    <name>QueueView</name>
    <message>
        <source>Queue</source>
        <translation>キュー</translation>
    </message>
    <message>
        <source>{count} jobs</source>
        <translation>ジョブ{count}件</translation>
    </message>
</context>
<context>
    <name>RecipeView</name>
    <message>
        <source>How it was made</source>
        <translation>生成の記録</translation>
    </message>
    <message>
        <source>Prompt</source>
        <translation>プロンプト</translation>
    </message>
    <message>
        <source>Written as</source>
        <translation>入力したプロンプト</translation>
    </message>
    <message>
        <source>Negative prompt</source>
        <translation>ネガティブプロンプト</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>シード</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>サイズ</translation>
    </message>
    <message>
        <source>Steps</source>
        <translation>ステップ数</translation>
    </message>
    <message>
        <source>Guidance</source>
        <translation>ガイダンス</translation>
    </message>
    <message>
        <source>Sampler</source>
        <translation>サンプラー</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>モデル</translation>
    </message>
    <message>
        <source>Model hashes</source>
        <translation>モデルのハッシュ値</translation>
    </message>
    <message>
        <source>LoRA</source>
        <translation>LoRA</translation>
    </message>
    <message>
        <source>Number type</source>
        <translation>数値型</translation>
    </message>
    <message>
        <source>Device</source>
        <translation>演算装置</translation>
    </message>
    <message>
        <source>Unknown words</source>
        <translation>未知の語</translation>
    </message>
    <message>
        <source>Program</source>
        <translation>作成ソフト</translation>
    </message>
    <message>
        <source>Made by another tool</source>
        <translation>ほかのアプリで作成</translation>
    </message>
    <message>
        <source>File</source>
        <translation>ファイル</translation>
    </message>
    <message>
        <source>Made</source>
        <translation>作成日時</translation>
    </message>
    <message>
        <source>{count} images are selected.</source>
        <translation>{count}枚を選択中です。</translation>
    </message>
    <message>
        <source>Select an image to see how it was made.</source>
        <translation>画像を選ぶと、生成の記録を表示します。</translation>
    </message>
    <message>
        <source>Copy all of this</source>
        <translation>この内容をすべてコピー</translation>
    </message>
    <message>
        <source>Copy the recipe as text: the whole of it, as it stands in the file</source>
        <translation>設定の記録を、ファイルにあるとおり全文コピーします</translation>
    </message>
</context>
<context>
    <name>RecordEditor</name>
    <message>
        <source>Licence</source>
        <translation>ライセンス</translation>
    </message>
    <message>
        <source>Creator</source>
        <translation>作者</translation>
    </message>
    <message>
        <source>Licence address</source>
        <translation>ライセンスの URL</translation>
    </message>
    <message>
        <source>Source address</source>
        <translation>出典の URL</translation>
    </message>
    <message>
        <source>English captions</source>
        <translation>英語の説明文</translation>
    </message>
    <message>
        <source>Japanese captions</source>
        <translation>日本語の説明文</translation>
    </message>
    <message>
        <source>One caption a line</source>
        <translation>1 行に 1 つ</translation>
    </message>
    <message>
        <source>Save changes</source>
        <translation>変更を保存</translation>
    </message>
    <message>
        <source>Save changes (Ctrl+S)</source>
        <translation>変更を保存（Ctrl+S）</translation>
    </message>
    <message>
        <source>Accept the file as it is</source>
        <translation>今のファイルを認める</translation>
    </message>
    <message>
        <source>Record the hash that the file has now</source>
        <translation>今のファイルのハッシュを記録します</translation>
    </message>
    <message>
        <source>Take out the record</source>
        <translation>記録を外す</translation>
    </message>
    <message>
        <source>The picture itself stays</source>
        <translation>画像そのものは残ります</translation>
    </message>
    <message>
        <source>metadata.jsonl, line {line}</source>
        <translation>metadata.jsonl の {line} 行目</translation>
    </message>
    <message>
        <source>{count} images</source>
        <translation>{count} 枚</translation>
    </message>
    <message>
        <source>Nothing selected</source>
        <translation>選択なし</translation>
    </message>
    <message>
        <source>various; what you enter applies to all</source>
        <translation>いろいろ（入力すると全部に反映）</translation>
    </message>
</context>
<context>
    <name>ReportPage</name>
    <message>
        <source>Show</source>
        <translation>表示</translation>
    </message>
</context>
<context>
    <name>ReportView</name>
    <message>
        <source>Open folder</source>
        <translation>フォルダーを開く</translation>
    </message>
</context>
<context>
    <name>Reports</name>
    <message>
        <source>Copied the reports of {count} image(s).</source>
        <translation>{count}枚分の報告をコピーしました。</translation>
    </message>
    <message>
        <source>Saved: {path}</source>
        <translation>保存しました：{path}</translation>
    </message>
</context>
<context>
    <name>RunStrip</name>
    <message>
        <source>Queue</source>
        <translation>キュー</translation>
    </message>
    <message>
        <source>Progress of the whole queue</source>
        <translation>キュー全体の進み具合</translation>
    </message>
    <message>
        <source>Go on</source>
        <translation>続ける</translation>
    </message>
    <message>
        <source>Copy details</source>
        <translation>詳細をコピー</translation>
    </message>
    <message>
        <source>{count} left</source>
        <translation>残り{count}枚</translation>
    </message>
    <message>
        <source>The last run stopped in the middle of {count} image(s). Nothing is lost.</source>
        <translation>前回は{count}枚の途中で止まりました。失われたものはありません。</translation>
    </message>
    <message>
        <source>Pause the queue after the current image (Space)</source>
        <translation>今の画像ができたらキューを止めます（Space）</translation>
    </message>
    <message>
        <source>about {count} images/h</source>
        <translation>推定 毎時{count}枚</translation>
    </message>
    <message>
        <source>Resume</source>
        <translation>再開</translation>
    </message>
    <message>
        <source>Go on with the queue (Space)</source>
        <translation>キューを再開（Space）</translation>
    </message>
    <message>
        <source>Pause</source>
        <translation>一時停止</translation>
    </message>
    <message>
        <source>Start</source>
        <translation>開始</translation>
    </message>
    <message>
        <source>Make what is waiting (Space)</source>
        <translation>待機中の画像を生成（Space）</translation>
    </message>
    <message>
        <source>The queue is paused.</source>
        <translation>キューは一時停止中です。</translation>
    </message>
    <message>
        <source>The engine is starting.</source>
        <translation>エンジンを起動しています。</translation>
    </message>
    <message>
        <source>done at about {time}</source>
        <translation>{time}ごろ完了（推定）</translation>
    </message>
</context>
<context>
    <name>RunView</name>
    <message>
        <source>Progress</source>
        <translation>進み具合</translation>
    </message>
    <message>
        <source>Logarithmic</source>
        <translation>対数目盛</translation>
    </message>
    <message>
        <source>Notes</source>
        <translation>お知らせ</translation>
    </message>
    <message>
        <source>Pause</source>
        <translation>一時停止</translation>
    </message>
    <message>
        <source>Save now</source>
        <translation>今すぐ保存</translation>
    </message>
    <message>
        <source>A checkpoint follows after this step.</source>
        <translation>このステップのあとに保存します。</translation>
    </message>
    <message>
        <source>Sample now</source>
        <translation>今すぐ試し描き</translation>
    </message>
    <message>
        <source>Previews follow after this step.</source>
        <translation>このステップのあとに試し描きします。</translation>
    </message>
    <message>
        <source>Stop</source>
        <translation>中止</translation>
    </message>
    <message>
        <source>Save, then stop; it can go on later</source>
        <translation>保存して止めます。あとで続けられます</translation>
    </message>
    <message>
        <source>Start</source>
        <translation>開始</translation>
    </message>
    <message>
        <source>Do not start</source>
        <translation>開始を取りやめ</translation>
    </message>
    <message>
        <source>Use for making images</source>
        <translation>画像づくりに使う</translation>
    </message>
    <message>
        <source>Continue training when the window is closed</source>
        <translation>ウィンドウを閉じても学習を続ける</translation>
    </message>
    <message>
        <source>{count} images/s</source>
        <translation>毎秒 {count} 枚</translation>
    </message>
    <message>
        <source>{count} images, {held} held out</source>
        <translation>学習 {count} 枚、評価用 {held} 枚</translation>
    </message>
    <message>
        <source>The training&apos;s process ended without an error message. What it had saved is there.</source>
        <translation>学習の処理が予告なく終わりました。保存済みの分は残っています。</translation>
    </message>
    <message>
        <source>Open the report</source>
        <translation>報告書を開く</translation>
    </message>
    <message>
        <source>Open the run&apos;s folder</source>
        <translation>この学習のフォルダーを開く</translation>
    </message>
    <message>
        <source>Open the config</source>
        <translation>設定ファイルを開く</translation>
    </message>
    <message>
        <source>Remove from the list</source>
        <translation>一覧から外す</translation>
    </message>
    <message>
        <source>Remove from the list; its files stay</source>
        <translation>一覧から外します。ファイルは残ります</translation>
    </message>
    <message>
        <source>Resume</source>
        <translation>再開</translation>
    </message>
    <message>
        <source>Try again</source>
        <translation>やり直す</translation>
    </message>
    <message>
        <source>It starts when the queue is empty.</source>
        <translation>キューが空になったら始まります。</translation>
    </message>
    <message>
        <source>It starts after the one that is running.</source>
        <translation>今の学習が終わったら始まります。</translation>
    </message>
    <message>
        <source>step {step} of {steps}</source>
        <translation>ステップ {step} / {steps}</translation>
    </message>
    <message>
        <source>about {time} left</source>
        <translation>残り約 {time}</translation>
    </message>
    <message>
        <source>The training saves, then stops.</source>
        <translation>保存してから止まります。</translation>
    </message>
    <message>
        <source>“{name}” is no longer listed; its files stay.</source>
        <translation>「{name}」を一覧から外しました。ファイルは残っています。</translation>
    </message>
    <message>
        <source>Undo</source>
        <translation>元に戻す</translation>
    </message>
    <message>
        <source>{time} so far</source>
        <translation>経過 {time}</translation>
    </message>
    <message>
        <source>{n} s</source>
        <translation>{n} 秒</translation>
    </message>
    <message>
        <source>{n} min</source>
        <translation>{n} 分</translation>
    </message>
    <message>
        <source>{h} h {n} min</source>
        <translation>{h} 時間 {n} 分</translation>
    </message>
</context>
<context>
    <name>RunsModel</name>
    <message>
        <source>State</source>
        <translation>状態</translation>
    </message>
    <message>
        <source>Name</source>
        <translation>名前</translation>
    </message>
    <message>
        <source>Progress</source>
        <translation>進み具合</translation>
    </message>
    <message>
        <source>Made</source>
        <translation>作成</translation>
    </message>
</context>
<context>
    <name>RunsPanel</name>
    <message>
        <source>Runs</source>
        <translation>実行</translation>
    </message>
    <message>
        <source>No training yet. Choose images, say what to learn, and start.</source>
        <translation>学習はまだありません。画像と学習の内容を決めて、始めてください。</translation>
    </message>
</context>
<context>
    <name>SeedField</name>
    <message>
        <source>Seed</source>
        <translation>シード</translation>
    </message>
    <message>
        <source>Random</source>
        <translation>ランダム</translation>
    </message>
    <message>
        <source>Each image draws its own seed</source>
        <translation>画像ごとにシードを選びます</translation>
    </message>
    <message>
        <source>The images of a prompt get S, S+1, S+2, …; the next job starts at S again</source>
        <translation>各プロンプトの画像はS、S+1、S+2…となり、次のジョブもSから始めます</translation>
    </message>
    <message>
        <source>The images of a prompt get S, S+1, S+2, …; the next job goes on from there</source>
        <translation>各プロンプトの画像はS、S+1、S+2…となり、次のジョブはその続きから始めます</translation>
    </message>
    <message>
        <source>Fixed</source>
        <translation>固定</translation>
    </message>
    <message>
        <source>Counting on</source>
        <translation>連番</translation>
    </message>
    <message>
        <source>Seed number</source>
        <translation>シードの値</translation>
    </message>
</context>
<context>
    <name>SettingsPage</name>
    <message>
        <source>Light</source>
        <translation>ライト</translation>
    </message>
    <message>
        <source>Dark</source>
        <translation>ダーク</translation>
    </message>
    <message>
        <source>Choose…</source>
        <translation>選ぶ…</translation>
    </message>
    <message>
        <source>Choose the output folder</source>
        <translation>出力先フォルダーを選ぶ</translation>
    </message>
    <message>
        <source>Text size</source>
        <translation>文字の大きさ</translation>
    </message>
    <message>
        <source>Fields: {fields}</source>
        <translation>使える項目：{fields}</translation>
    </message>
    <message>
        <source>none</source>
        <translation>なし</translation>
    </message>
    <message>
        <source>Leave the engine working until the queue is empty</source>
        <translation>キューが空になるまで生成を続ける</translation>
    </message>
    <message>
        <source>Open folder</source>
        <translation>フォルダーを開く</translation>
    </message>
    <message>
        <source>Open the data folder</source>
        <translation>データフォルダーを開く</translation>
    </message>
    <message>
        <source>Settings</source>
        <translation>設定</translation>
    </message>
    <message>
        <source>Appearance</source>
        <translation>表示</translation>
    </message>
    <message>
        <source>Images</source>
        <translation>画像</translation>
    </message>
    <message>
        <source>Automatic</source>
        <translation>自動で選ぶ</translation>
    </message>
    <message>
        <source>Same as the system</source>
        <translation>システムに合わせる</translation>
    </message>
    <message>
        <source>All</source>
        <translation>すべて</translation>
    </message>
    <message>
        <source>Language</source>
        <translation>言語</translation>
    </message>
    <message>
        <source>Theme</source>
        <translation>テーマ</translation>
    </message>
    <message>
        <source>Output folder</source>
        <translation>出力先</translation>
    </message>
    <message>
        <source>File names</source>
        <translation>ファイル名</translation>
    </message>
    <message>
        <source>Provenance</source>
        <translation>来歴</translation>
    </message>
    <message>
        <source>Engine</source>
        <translation>エンジン</translation>
    </message>
    <message>
        <source>Device</source>
        <translation>デバイス</translation>
    </message>
    <message>
        <source>Memory to use</source>
        <translation>使うメモリ</translation>
    </message>
    <message>
        <source>Cluster</source>
        <translation>クラスター</translation>
    </message>
    <message>
        <source>When the window closes</source>
        <translation>ウィンドウを閉じたとき</translation>
    </message>
    <message>
        <source>Data</source>
        <translation>データ</translation>
    </message>
    <message>
        <source>Data folder</source>
        <translation>データフォルダー</translation>
    </message>
    <message>
        <source>This machine</source>
        <translation>この環境</translation>
    </message>
    <message>
        <source>Precision</source>
        <translation>計算の精度</translation>
    </message>
    <message>
        <source>Of the graphics card; on a CPU, of the main memory. Less means fewer images at once, and parts of the model loaded one after the other.</source>
        <translation>グラフィックカードのメモリ（CPU ではメインメモリ）。少なくすると、一度に作る枚数が減り、部品が交代で入ります。</translation>
    </message>
    <message>
        <source>Address of a Ray cluster that makes the images instead of this machine: auto finds one that runs here. It takes effect at the next start of the engine.</source>
        <translation>このマシンの代わりに画像を作る Ray クラスターのアドレスです。auto は、ここで動いているクラスターを探します。次にエンジンを起動したときから有効です。</translation>
    </message>
    <message>
        <source>Otherwise it stops after the current image; nothing that waits is lost.</source>
        <translation>オフの場合は、今の画像ができたら止まります。待機中の分は失われません。</translation>
    </message>
    <message>
        <source>Caches</source>
        <translation>キャッシュ</translation>
    </message>
    <message>
        <source>first job</source>
        <translation>最初のジョブ</translation>
    </message>
    <message>
        <source>For example: {path}</source>
        <translation>例：{path}</translation>
    </message>
    <message>
        <source>Write it like {example}.</source>
        <translation>{example}のように入力してください。</translation>
    </message>
</context>
<context>
    <name>SetupPanel</name>
    <message>
        <source>Base model</source>
        <translation>元のモデル</translation>
    </message>
    <message>
        <source>Learn</source>
        <translation>学習するもの</translation>
    </message>
    <message>
        <source>LoRA: a small addition to the base model</source>
        <translation>LoRA：元のモデルへの小さな追加</translation>
    </message>
    <message>
        <source>Memory preset</source>
        <translation>メモリーの目安</translation>
    </message>
    <message>
        <source>none</source>
        <translation>なし</translation>
    </message>
    <message>
        <source>Name of the result</source>
        <translation>できたものの名前</translation>
    </message>
    <message>
        <source>Trigger word</source>
        <translation>呼び出し語</translation>
    </message>
    <message>
        <source>A word put before every caption. In a prompt it then calls what was learned.</source>
        <translation>すべての説明文の前に置く語です。プロンプトに書くと、学んだものを呼び出せます。</translation>
    </message>
    <message>
        <source>Steps</source>
        <translation>ステップ数</translation>
    </message>
    <message>
        <source>Learning rate</source>
        <translation>学習率</translation>
    </message>
    <message>
        <source>by the preset</source>
        <translation>目安のとおり</translation>
    </message>
    <message>
        <source>Resolution</source>
        <translation>解像度</translation>
    </message>
    <message>
        <source>the model&apos;s own</source>
        <translation>モデルの標準</translation>
    </message>
    <message>
        <source>Prompts of the previews</source>
        <translation>試し描きのプロンプト</translation>
    </message>
    <message>
        <source>More</source>
        <translation>詳しい設定</translation>
    </message>
    <message>
        <source>Open the config</source>
        <translation>設定ファイルを開く</translation>
    </message>
    <message>
        <source>Write the configuration file and open it for editing</source>
        <translation>設定ファイルを書き出して開きます。どの項目も手で変えられます</translation>
    </message>
    <message>
        <source>There is no model that can be trained. Get one on the Models page.</source>
        <translation>学習できるモデルがありません。「モデル」のページで入手してください。</translation>
    </message>
    <message>
        <source>What is left to the preset follows it. A preset says what fits the memory of a GPU for CommonArt β at 512 px.</source>
        <translation>空けた項目は目安に従います。目安は CommonArt β を 512 px で学習するときに GPU のメモリーに収まる値です。</translation>
    </message>
    <message>
        <source>complete model</source>
        <translation>モデル全体</translation>
    </message>
    <message>
        <source>Images per step</source>
        <translation>1 ステップの枚数</translation>
    </message>
    <message>
        <source>One prompt per line</source>
        <translation>1 行に 1 つ</translation>
    </message>
    <message>
        <source>Less</source>
        <translation>閉じる</translation>
    </message>
    <message>
        <source>It becomes a file&apos;s name: without / \ : * ? &quot; &lt; &gt; | and not beginning with a dot.</source>
        <translation>ファイル名になるので、/ \ : * ? &quot; &lt; &gt; | は使えず、点で始められません。</translation>
    </message>
    <message>
        <source>Give the result a name.</source>
        <translation>名前を付けてください。</translation>
    </message>
    <message>
        <source>A number above 0, such as 1e-4 or 0.0001.</source>
        <translation>0 より大きい数を入れてください（1e-4、0.0001 など）。</translation>
    </message>
    <message>
        <source>Choose the model to start from.</source>
        <translation>元のモデルを選んでください。</translation>
    </message>
</context>
<context>
    <name>SidePanel</name>
    <message>
        <source>Rating</source>
        <translation>評価</translation>
    </message>
    <message>
        <source>Rating (0 to 5)</source>
        <translation>評価（0～5）</translation>
    </message>
</context>
<context>
    <name>SizeBar</name>
    <message>
        <source>Size of the thumbnails</source>
        <translation>サムネイルの大きさ</translation>
    </message>
    <message>
        <source>{count} images</source>
        <translation>{count} 枚</translation>
    </message>
    <message>
        <source>looking…</source>
        <translation>調べています…</translation>
    </message>
    <message>
        <source>Looking through the folders…</source>
        <translation>フォルダーを調べています…</translation>
    </message>
</context>
<context>
    <name>SizeField</name>
    <message>
        <source>Shape</source>
        <translation>縦横比</translation>
    </message>
    <message>
        <source>Square</source>
        <translation>正方形</translation>
    </message>
    <message>
        <source>Portrait 2:3</source>
        <translation>縦長 2:3</translation>
    </message>
    <message>
        <source>Landscape 3:2</source>
        <translation>横長 3:2</translation>
    </message>
    <message>
        <source>Tall 9:16</source>
        <translation>縦長 9:16</translation>
    </message>
    <message>
        <source>Wide 16:9</source>
        <translation>横長 16:9</translation>
    </message>
    <message>
        <source>Free</source>
        <translation>自由</translation>
    </message>
    <message>
        <source>Width in pixels</source>
        <translation>幅（ピクセル）</translation>
    </message>
    <message>
        <source>Height in pixels</source>
        <translation>高さ（ピクセル）</translation>
    </message>
</context>
<context>
    <name>StatusLine</name>
    <message>
        <source>engine off</source>
        <translation>エンジン停止中</translation>
    </message>
    <message>
        <source>engine starting</source>
        <translation>エンジン起動中</translation>
    </message>
    <message>
        <source>engine working</source>
        <translation>生成中</translation>
    </message>
    <message>
        <source>engine ready</source>
        <translation>エンジン準備完了</translation>
    </message>
    <message>
        <source>paused</source>
        <translation>一時停止中</translation>
    </message>
    <message>
        <source>engine stopped</source>
        <translation>エンジンが停止しました</translation>
    </message>
    <message>
        <source>{count} left</source>
        <translation>残り{count}枚</translation>
    </message>
    <message>
        <source>about {count} images/h</source>
        <translation>推定 毎時{count}枚</translation>
    </message>
    <message>
        <source>done at about {time}</source>
        <translation>{time}ごろ完了（推定）</translation>
    </message>
</context>
<context>
    <name>TrainPage</name>
    <message>
        <source>Train</source>
        <translation>学習</translation>
    </message>
    <message>
        <source>What to learn</source>
        <translation>学習の内容</translation>
    </message>
    <message>
        <source>Runs</source>
        <translation>実行</translation>
    </message>
    <message>
        <source>Images</source>
        <translation>画像</translation>
    </message>
    <message>
        <source>Start training</source>
        <translation>学習を開始</translation>
    </message>
    <message>
        <source>Choose a folder of images first.</source>
        <translation>まず画像のフォルダーを選んでください。</translation>
    </message>
    <message>
        <source>The check is running.</source>
        <translation>検査中です。</translation>
    </message>
    <message>
        <source>Check the folder again first.</source>
        <translation>もう一度検査してください。</translation>
    </message>
    <message>
        <source>The check refuses this folder.</source>
        <translation>検査に不合格です。</translation>
    </message>
    <message>
        <source>The licence check has to pass first.</source>
        <translation>先にライセンス検査に合格する必要があります。</translation>
    </message>
    <message>
        <source>Runs ({count})</source>
        <translation>実行（{count}）</translation>
    </message>
    <message>
        <source>“{name}” is trained; the result is in {folder}.</source>
        <translation>「{name}」の学習が終わりました。結果は {folder} にあります。</translation>
    </message>
    <message>
        <source>Use for making images</source>
        <translation>画像づくりに使う</translation>
    </message>
    <message>
        <source>The training “{name}” ended with an error.</source>
        <translation>「{name}」の学習がエラーで終わりました。</translation>
    </message>
    <message>
        <source>Resume</source>
        <translation>再開</translation>
    </message>
</context>
<context>
    <name>VerifyDetail</name>
    <message>
        <source>File</source>
        <translation>ファイル</translation>
    </message>
    <message>
        <source>Open folder</source>
        <translation>フォルダーを開く</translation>
    </message>
    <message>
        <source>How it was made</source>
        <translation>生成の記録</translation>
    </message>
    <message>
        <source>Copy recipe</source>
        <translation>レシピをコピー</translation>
    </message>
    <message>
        <source>Copy the whole recipe, as it stands in the file</source>
        <translation>ファイルにあるレシピをすべてコピーする</translation>
    </message>
    <message>
        <source>What it was made from</source>
        <translation>何から作られたか</translation>
    </message>
    <message>
        <source>Say where LoRAs are…</source>
        <translation>LoRAの場所を指定…</translation>
    </message>
    <message>
        <source>Text of another tool</source>
        <translation>ほかのツールの情報</translation>
    </message>
    <message>
        <source>Select an image to see what is known about it.</source>
        <translation>画像を選ぶと、分かっていることを表示します。</translation>
    </message>
    <message>
        <source>No LoRA was used.</source>
        <translation>LoRAは使われていません。</translation>
    </message>
    <message>
        <source>Not checked yet</source>
        <translation>まだ確かめていません</translation>
    </message>
</context>
<context>
    <name>VerifyPage</name>
    <message>
        <source>Checked images</source>
        <translation>確かめた画像</translation>
    </message>
    <message>
        <source>Choose images…</source>
        <translation>画像を選ぶ…</translation>
    </message>
    <message>
        <source>Choose a folder…</source>
        <translation>フォルダーを選ぶ…</translation>
    </message>
    <message>
        <source>Check again</source>
        <translation>もう一度確かめる</translation>
    </message>
    <message>
        <source>Only those not intact</source>
        <translation>問題のあるものだけ</translation>
    </message>
    <message>
        <source>Copy report</source>
        <translation>報告をコピー</translation>
    </message>
    <message>
        <source>Save report…</source>
        <translation>報告を保存…</translation>
    </message>
    <message>
        <source>Clear the list</source>
        <translation>一覧を空にする</translation>
    </message>
    <message>
        <source>The images themselves stay where they are</source>
        <translation>画像のファイルはそのまま残ります</translation>
    </message>
    <message>
        <source>Images</source>
        <translation>画像</translation>
    </message>
    <message>
        <source>Choose images</source>
        <translation>画像を選ぶ</translation>
    </message>
    <message>
        <source>Choose a folder of images</source>
        <translation>画像のフォルダーを選ぶ</translation>
    </message>
    <message>
        <source>There is no PNG, WebP or JPEG image there.</source>
        <translation>PNG、WebP、JPEGの画像がありません。</translation>
    </message>
    <message>
        <source>Looking for images…</source>
        <translation>画像を探しています…</translation>
    </message>
    <message>
        <source>Progress</source>
        <translation>進み具合</translation>
    </message>
    <message>
        <source>Stop</source>
        <translation>中止</translation>
    </message>
    <message>
        <source>Verify</source>
        <translation>検証</translation>
    </message>
    <message>
        <source>The clipboard holds no files and no full paths.</source>
        <translation>クリップボードにファイルも絶対パスもありません。</translation>
    </message>
    <message>
        <source>All files</source>
        <translation>すべてのファイル</translation>
    </message>
    <message>
        <source>LoRAs are looked for in {folder} too.</source>
        <translation>LoRAを{folder}でも探します。</translation>
    </message>
    <message>
        <source>Checked {done} of {count}</source>
        <translation>{count}枚中{done}枚を確認</translation>
    </message>
    <message>
        <source>Show</source>
        <translation>表示</translation>
    </message>
    <message>
        <source>{count} are not checked.</source>
        <translation>{count}枚はまだ確かめていません。</translation>
    </message>
    <message>
        <source>Save report</source>
        <translation>報告を保存</translation>
    </message>
</context>
<context>
    <name>VerifyWords</name>
    <message>
        <source>not checked yet</source>
        <translation>未確認</translation>
    </message>
    <message>
        <source>intact</source>
        <translation>問題なし</translation>
    </message>
    <message>
        <source>origin in doubt</source>
        <translation>由来に不一致</translation>
    </message>
    <message>
        <source>changed</source>
        <translation>変更あり</translation>
    </message>
    <message>
        <source>certificate expired</source>
        <translation>証明書の期限切れ</translation>
    </message>
    <message>
        <source>not signed</source>
        <translation>署名なし</translation>
    </message>
    <message>
        <source>signer unknown</source>
        <translation>署名者不明</translation>
    </message>
    <message>
        <source>unreadable</source>
        <translation>読み取れません</translation>
    </message>
    <message>
        <source>Something in what it was made from does not fit: see below.</source>
        <translation>材料の記録に食い違いがあります。「何から作られたか」をご覧ください。</translation>
    </message>
    <message>
        <source>Not everything it was made from is available here.</source>
        <translation>材料の一部は手元にありません。</translation>
    </message>
</context>
<context>
    <name>Viewer</name>
    <message>
        <source>Image</source>
        <translation>画像</translation>
    </message>
    <message>
        <source>Back to all images (Esc)</source>
        <translation>一覧に戻る（Esc）</translation>
    </message>
    <message>
        <source>Previous image (←)</source>
        <translation>前の画像（←）</translation>
    </message>
    <message>
        <source>Next image (→)</source>
        <translation>次の画像（→）</translation>
    </message>
    <message>
        <source>Fit</source>
        <translation>全体表示</translation>
    </message>
    <message>
        <source>Fit the window (Ctrl+0)</source>
        <translation>ウィンドウに合わせる（Ctrl+0）</translation>
    </message>
    <message>
        <source>One pixel for one pixel (Ctrl+1)</source>
        <translation>等倍で表示（Ctrl+1）</translation>
    </message>
    <message>
        <source>scaled down: too large to hold</source>
        <translation>縮小表示（大きすぎるため）</translation>
    </message>
</context>
<context>
    <name>i18n</name>
    <message>
        <source>The queue was damaged. It is kept as {path}; {count} image(s) were saved from it.</source>
        <translation>キューが壊れていたため、{path}に残し、{count}枚分を復元しました。</translation>
    </message>
</context>
<context>
    <name>images</name>
    <message>
        <source>! Too large to show here: {width} × {height} pixels</source>
        <translation>! 大きすぎて表示できません（{width} × {height} 画素）</translation>
    </message>
    <message>
        <source>! This image cannot be read</source>
        <translation>! この画像を読み取れません</translation>
    </message>
</context>
<context>
    <name>pages</name>
    <message>
        <source>Make</source>
        <translation>生成</translation>
    </message>
    <message>
        <source>Pictures</source>
        <translation>画像</translation>
    </message>
    <message>
        <source>Train</source>
        <translation>学習</translation>
    </message>
    <message>
        <source>Models</source>
        <translation>モデル</translation>
    </message>
    <message>
        <source>Export</source>
        <translation>書き出し</translation>
    </message>
    <message>
        <source>Evaluate</source>
        <translation>評価</translation>
    </message>
    <message>
        <source>Verify</source>
        <translation>検証</translation>
    </message>
    <message>
        <source>Settings</source>
        <translation>設定</translation>
    </message>
</context>
<context>
    <name>presets</name>
    <message>
        <source>Draft</source>
        <extracomment>the settings in a preset and their types; no paths except those of LoRAs outside the LoRA folder</extracomment>
        <translation>下書き</translation>
    </message>
    <message>
        <source>Normal</source>
        <translation>標準</translation>
    </message>
    <message>
        <source>Careful</source>
        <translation>ていねい</translation>
    </message>
</context>
<context>
    <name>train</name>
    <message>
        <source>no licence</source>
        <translation>ライセンスなし</translation>
    </message>
    <message>
        <source>unreadable licence</source>
        <translation>読めないライセンス</translation>
    </message>
    <message>
        <source>licence not allowed</source>
        <translation>許されないライセンス</translation>
    </message>
    <message>
        <source>attribution incomplete</source>
        <translation>表示の情報が不足</translation>
    </message>
    <message>
        <source>licence address differs</source>
        <translation>ライセンスの URL が別</translation>
    </message>
    <message>
        <source>file names another licence</source>
        <translation>ファイル内のライセンスが別</translation>
    </message>
    <message>
        <source>licence stated differently</source>
        <translation>ライセンスの記載の食い違い</translation>
    </message>
    <message>
        <source>statement not understood</source>
        <translation>解釈できない記載</translation>
    </message>
    <message>
        <source>licence given by hand</source>
        <translation>手で指定したライセンス</translation>
    </message>
    <message>
        <source>no hash recorded</source>
        <translation>ハッシュの記録なし</translation>
    </message>
    <message>
        <source>file was altered</source>
        <translation>ファイルが変わった</translation>
    </message>
    <message>
        <source>picture missing</source>
        <translation>画像がない</translation>
    </message>
    <message>
        <source>picture without record</source>
        <translation>記録のない画像</translation>
    </message>
    <message>
        <source>two records</source>
        <translation>記録が重複</translation>
    </message>
    <message>
        <source>unreadable record</source>
        <translation>読めない記録</translation>
    </message>
    <message>
        <source>unreadable picture</source>
        <translation>読めない画像</translation>
    </message>
    <message>
        <source>no pictures</source>
        <translation>画像なし</translation>
    </message>
    <message>
        <source>two licences</source>
        <translation>ライセンスが 2 つ</translation>
    </message>
    <message>
        <source>look-alike, other licence</source>
        <translation>似た画像で別ライセンス</translation>
    </message>
    <message>
        <source>look-alike</source>
        <translation>似た画像</translation>
    </message>
    <message>
        <source>same picture twice</source>
        <translation>同じ画像が重複</translation>
    </message>
    <message>
        <source>training forbidden</source>
        <translation>学習の禁止</translation>
    </message>
    <message>
        <source>training with conditions</source>
        <translation>条件付きの学習</translation>
    </message>
    <message>
        <source>made by AI</source>
        <translation>AI による画像</translation>
    </message>
    <message>
        <source>no caption</source>
        <translation>説明文なし</translation>
    </message>
    <message>
        <source>caption too long</source>
        <translation>説明文が長すぎる</translation>
    </message>
    <message>
        <source>control characters</source>
        <translation>制御文字</translation>
    </message>
    <message>
        <source>mostly one creator</source>
        <translation>作者の偏り</translation>
    </message>
    <message>
        <source>damaged provenance</source>
        <translation>来歴の破損</translation>
    </message>
    <message>
        <source>prepared</source>
        <translation>準備済み</translation>
    </message>
    <message>
        <source>waiting</source>
        <translation>待機中</translation>
    </message>
    <message>
        <source>running</source>
        <translation>生成中</translation>
    </message>
    <message>
        <source>paused</source>
        <translation>一時停止中</translation>
    </message>
    <message>
        <source>done</source>
        <translation>完了</translation>
    </message>
    <message>
        <source>stopped</source>
        <translation>停止</translation>
    </message>
    <message>
        <source>failed</source>
        <translation>失敗</translation>
    </message>
    <message>
        <source>broken off</source>
        <translation>中断</translation>
    </message>
    <message>
        <source>Starting</source>
        <translation>開始しています</translation>
    </message>
    <message>
        <source>Checking the licences</source>
        <translation>ライセンスを検査しています</translation>
    </message>
    <message>
        <source>Encoding the pictures</source>
        <translation>画像を符号化しています</translation>
    </message>
    <message>
        <source>Encoding the captions</source>
        <translation>説明文を符号化しています</translation>
    </message>
    <message>
        <source>Learning</source>
        <translation>学習しています</translation>
    </message>
    <message>
        <source>{count} s</source>
        <translation>{count} 秒</translation>
    </message>
    <message>
        <source>{count} m</source>
        <translation>{count} 分</translation>
    </message>
    <message>
        <source>{hours} h {minutes} m</source>
        <translation>{hours} 時間 {minutes} 分</translation>
    </message>
    <message>
        <source>such as CC-BY-4.0</source>
        <translation>例：CC-BY-4.0</translation>
    </message>
</context>
</TS>
