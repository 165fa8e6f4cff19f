"""The CNN that every newcomer meets first, on MNIST: about 99 % of the test digits after ten epochs.

python examples/mnist_cnn.py [FOLDER] [--epochs N]: FOLDER holds the four idx files; without it they are
looked for in DLCORE_DATA, or downloaded.
"""

import argparse
import time

from dlcore.keras.datasets import mnist
from dlcore.keras.layers import Conv2D, Dense, Flatten, MaxPooling2D
from dlcore.keras.models import Sequential


def build(input_shape):
    model = Sequential()
    model.add(Conv2D(32, kernel_size=(3, 3), activation="relu", input_shape=input_shape))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Conv2D(64, kernel_size=(3, 3), activation="relu"))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Flatten())
    model.add(Dense(128, activation="relu"))
    model.add(Dense(10, activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="where the idx files are")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    (x_train, y_train), (x_test, y_test) = mnist.load_data(args.folder) if args.folder else mnist.load_data()
    x_train = x_train.reshape(-1, 28, 28, 1).astype("float32") / 255
    x_test = x_test.reshape(-1, 28, 28, 1).astype("float32") / 255
    model = build(x_train.shape[1:])
    model.summary()
    start = time.perf_counter()
    model.fit(x_train, y_train, epochs=args.epochs, batch_size=64)
    print(f"trained in {time.perf_counter() - start:.0f} s")
    loss, accuracy = model.evaluate(x_test, y_test)
    print(f"test accuracy: {accuracy:.4f}, loss: {loss:.4f}")


if __name__ == "__main__":
    main()
